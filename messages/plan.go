package messages

// Plan answers a [Job] with DryRun: what the job would start, had it not been one. Nothing was started, taken or kept.
//
// Args and Env are as the worker would get them, but for what is not known before a start: ${port} stands where the job
// leaves the port open.
type Plan struct {
	// HiveID is the hive that answers.
	HiveID string `json:"hive_id" jsonschema:"the hive that answers"`
	// JobID is the job's; empty if it has none. WorkerID is what the worker would be called; "${worker_id}" if neither the job
	// nor its id says that.
	JobID    string `json:"job_id,omitempty" jsonschema:"the job, if it has an id"`
	WorkerID string `json:"worker_id" jsonschema:"the worker that would be started"`
	// DryRun is true: no answer of a started worker has it.
	DryRun bool `json:"dry_run" jsonschema:"true"`
	// Device and Model are those of the job.
	Device string `json:"device" jsonschema:"the device as the job gave it"`
	Model  string `json:"model" jsonschema:"the model as the job gave it"`
	// Port is the port that the job asks for; 0 means a free one of Ports.
	Port  int    `json:"port" jsonschema:"TCP port that the job asks for; 0 means a free one of ports"`
	Ports string `json:"ports" jsonschema:"ports that a free one is taken of, like 9001-9999"`
	// WorkerType, Worker, Version, Source and BinaryPath are as in a [Result].
	WorkerType string `json:"worker_type" jsonschema:"CpuLlm, CudaLlm or MetalLlm"`
	Worker     string `json:"worker" jsonschema:"catalog name of the worker"`
	Version    string `json:"version,omitempty" jsonschema:"catalog version; absent for a development build"`
	Source     string `json:"source" jsonschema:"catalog, debug or release"`
	BinaryPath string `json:"binary_path" jsonschema:"absolute path of the file that would be started"`
	// Why says why it is this one and no other.
	Why string `json:"why" jsonschema:"why it is this one and no other"`
	// Args are the arguments behind the program, without credentials.
	Args []string `json:"args" jsonschema:"the arguments behind the program, without credentials"`
	// Env is the whole environment, as NAME=value. What could be a secret is NAME=… instead.
	Env []string `json:"env" jsonschema:"the whole environment; a value that could be a secret is …"`
	// WorkDir is the working directory.
	WorkDir string `json:"work_dir" jsonschema:"the working directory"`
	// HealthPath and HealthStatus say how the worker is asked whether it serves.
	HealthPath   string `json:"health_path" jsonschema:"path that a health check asks for"`
	HealthStatus int    `json:"health_status" jsonschema:"HTTP status that means that it serves"`
	// StopSignal asks it to end, and StopGraceMS is how long it may take before it is killed, in milliseconds.
	StopSignal  string `json:"stop_signal" jsonschema:"signal that asks it to end"`
	StopGraceMS int64  `json:"stop_grace_ms" jsonschema:"how long it may take to end before it is killed, in milliseconds"`
	// Skipped are the entries that come first and are broken.
	Skipped []Skipped `json:"skipped,omitempty" jsonschema:"entries that come first and are broken"`
}

// Skipped is an entry of the catalog that was passed over.
type Skipped struct {
	// Path is the entry's directory.
	Path string `json:"path" jsonschema:"the entry's directory"`
	// Reason is what is wrong with it.
	Reason string `json:"reason" jsonschema:"what is wrong with it"`
}

// Encode returns the plan as it travels.
func (p Plan) Encode() ([]byte, error) {
	if p.Args == nil {
		p.Args = []string{}
	}
	if p.Env == nil {
		p.Env = []string{}
	}
	return encode(p)
}

// DecodePlan reads the answer to a [Job] with DryRun. If the hive answered with a [Failure], the error is its [*Error].
// Fields that this version does not know are passed over.
func DecodePlan(data []byte) (Plan, error) {
	return decodeAnswer[Plan](data, "a plan")
}

func (p Plan) complete() bool { return p.HiveID != "" && p.DryRun && p.BinaryPath != "" }
func (p Plan) ids() Plan      { return Plan{HiveID: p.HiveID, JobID: p.JobID} }
