package messages

import "time"

// State is how far a worker has come, as its hive finds it.
type State string

// The states of a worker.
const (
	// StateStarting means that its process runs and its health check does not answer yet.
	StateStarting State = "starting"
	// StateReady means that its health check answers, and that it is the worker's own process that does.
	StateReady State = "ready"
	// StateExited means that no process of it is left.
	StateExited State = "exited"
)

// Worker is what a hive finds out about a worker at the moment when it is asked. A number that is not known is 0.
type Worker struct {
	// WorkerID is the worker's id.
	WorkerID string `json:"worker_id" jsonschema:"the worker's id"`
	// JobID is the job that started it; empty if that is not known.
	JobID string `json:"job_id" jsonschema:"the job that started it"`
	// PID is its process id on the hive's machine; of an exited one what it was.
	PID int `json:"pid" jsonschema:"process id on the hive's machine; 0 if it is not known"`
	// State is how far it has come.
	State State `json:"state" jsonschema:"starting, ready or exited"`
	// Model is the model as the job gave it.
	Model string `json:"model" jsonschema:"the model as the job gave it"`
	// Device is the device as the job gave it.
	Device string `json:"device" jsonschema:"the device as the job gave it"`
	// Port is the TCP port that it was told to listen on.
	Port int `json:"port" jsonschema:"TCP port that it was told to listen on; 0 if it is not known"`
	// Worker is its catalog name.
	Worker string `json:"worker" jsonschema:"catalog name of the worker"`
	// WorkerType is the type that the device means: CpuLlm, CudaLlm or MetalLlm.
	WorkerType string `json:"worker_type" jsonschema:"CpuLlm, CudaLlm or MetalLlm"`
	// Version is its catalog version; empty for a development build.
	Version string `json:"version,omitempty" jsonschema:"catalog version; absent for a development build"`
	// BinaryPath is the absolute path of the file that was started.
	BinaryPath string `json:"binary_path" jsonschema:"absolute path of the file that was started"`
	// StartedAt is when its process was started, on the hive's clock; zero if that is not known.
	StartedAt time.Time `json:"started_at,omitzero" jsonschema:"when the process was started (RFC 3339, UTC)"`
	// EndedAt is when its process ended, on the hive's clock; zero if it runs or nobody knows.
	EndedAt time.Time `json:"ended_at,omitzero" jsonschema:"when the process ended (RFC 3339, UTC)"`
	// UptimeMS is how long its process has been running, or ran, in milliseconds.
	UptimeMS int64 `json:"uptime_ms" jsonschema:"how long it has been running, or ran, in milliseconds"`
	// RSSBytes is the memory that all its processes hold, in bytes.
	RSSBytes int64 `json:"rss_bytes,omitempty" jsonschema:"memory that all its processes hold, in bytes"`
	// CPUMS is the processor time that all its processes took, in milliseconds.
	CPUMS int64 `json:"cpu_ms,omitempty" jsonschema:"processor time that all its processes took, in milliseconds"`
	// Threads is how many threads all its processes have.
	Threads int `json:"threads,omitempty" jsonschema:"threads of all its processes"`
	// Processes is how many processes it has, its descendants among them.
	Processes int `json:"processes,omitempty" jsonschema:"number of its processes, descendants among them"`
	// LogPath is the file on the hive's machine that takes its output.
	LogPath string `json:"log_path" jsonschema:"file on the hive's machine that takes its output"`
	// ExitCode is how an exited one ended; nil if a signal ended it or nobody knows.
	ExitCode *int `json:"exit_code,omitempty" jsonschema:"exit code of its process, if it exited"`
	// Signal is the signal that ended an exited one, like "SIGKILL"; empty if none did or nobody knows.
	Signal string `json:"signal,omitempty" jsonschema:"signal that ended its process, if one did"`
	// OOMKilled says that the kernel ended it because memory ran out; false also where that cannot be known.
	OOMKilled bool `json:"oom_killed,omitempty" jsonschema:"true if the kernel ended its process because memory ran out"`
	// Failure is the error that its job was answered with; nil if there was none.
	Failure *Error `json:"failure,omitempty" jsonschema:"what its job was answered with, if it failed"`
}

// ListRequest asks a hive for its workers. All of it may be left out.
type ListRequest struct {
	// Operation is [WorkerList]; [DecodeList] fills it from the subject when it is empty.
	Operation Operation `json:"operation,omitempty" jsonschema:"worker_list"`
	// HiveID, if given, must be the hive's own.
	HiveID string `json:"hive_id,omitempty" jsonschema:"if given, must be the id of the hive on the subject"`
	// After is the worker behind which the page begins: what [WorkerPage.Next] said. Empty is the first page.
	After string `json:"after,omitempty" jsonschema:"id of the worker behind which the page begins; the first page by default"`
	// Exited asks for the workers that have exited, too.
	Exited bool `json:"exited,omitempty" jsonschema:"true to see the workers that have exited, too"`
}

var listFields = []string{"operation", "hive_id", "after", "exited"}

// DecodeList reads and validates a request that arrived on a subject naming op. The error is an [*Error] with the code
// [InvalidJob] or [UnknownOperation] and names the field that is wrong.
func DecodeList(data []byte, op Operation) (ListRequest, error) {
	return decodeQuestion[ListRequest](data, op, WorkerList, listFields)
}

// Encode returns the request as it travels, or an error if it is not valid.
func (r ListRequest) Encode() ([]byte, error) { return encodeValid(r) }

// Validate returns an [*Error] with the code [InvalidJob] that names the first field that breaks a rule.
func (r ListRequest) Validate() error {
	return firstBroken(
		rule{"operation", checkOwn(r.Operation, WorkerList)},
		rule{"hive_id", optional(r.HiveID, CheckID)},
		rule{"after", optional(r.After, CheckID)},
	)
}

func (r *ListRequest) operation() *Operation { return &r.Operation }

// GetRequest asks a hive for one worker. WorkerID is required.
type GetRequest struct {
	// Operation is [WorkerGet]; [DecodeGet] fills it from the subject when it is empty.
	Operation Operation `json:"operation,omitempty" jsonschema:"worker_get"`
	// HiveID, if given, must be the hive's own.
	HiveID string `json:"hive_id,omitempty" jsonschema:"if given, must be the id of the hive on the subject"`
	// WorkerID is the worker that is asked for.
	WorkerID string `json:"worker_id" jsonschema:"the worker that is asked for"`
}

var getFields = []string{"operation", "hive_id", "worker_id"}

// DecodeGet reads and validates a request that arrived on a subject naming op. The error is an [*Error] with the code
// [InvalidJob] or [UnknownOperation] and names the field that is wrong.
func DecodeGet(data []byte, op Operation) (GetRequest, error) {
	return decodeQuestion[GetRequest](data, op, WorkerGet, getFields)
}

// Encode returns the request as it travels, or an error if it is not valid.
func (r GetRequest) Encode() ([]byte, error) { return encodeValid(r) }

// Validate returns an [*Error] with the code [InvalidJob] that names the first field that breaks a rule.
func (r GetRequest) Validate() error {
	return firstBroken(
		rule{"operation", checkOwn(r.Operation, WorkerGet)},
		rule{"hive_id", optional(r.HiveID, CheckID)},
		rule{"worker_id", checkWorker(r.WorkerID)},
	)
}

func (r *GetRequest) operation() *Operation { return &r.Operation }

// WorkerPage answers a [ListRequest]: some of the hive's workers, sorted by id.
type WorkerPage struct {
	// HiveID is the hive that answers.
	HiveID string `json:"hive_id" jsonschema:"the hive that answers"`
	// Workers are the workers of this page, in the order of their ids.
	Workers []Worker `json:"workers" jsonschema:"the workers of this page, sorted by id"`
	// Next is the After of the request for the next page; empty on the last one.
	Next string `json:"next" jsonschema:"what to ask for the next page with, as after; empty on the last page"`
}

// Encode returns the page as it travels.
func (p WorkerPage) Encode() ([]byte, error) {
	if p.Workers == nil {
		p.Workers = []Worker{}
	}
	const usual = 768 // bytes of a worker
	return p.AppendJSON(make([]byte, 0, usual*(1+len(p.Workers))))
}

// DecodeWorkers reads the answer to a [ListRequest]. If the hive answered with a [Failure], the error is its [*Error].
// Fields that this version does not know are passed over.
func DecodeWorkers(data []byte) (WorkerPage, error) {
	return decodeAnswer[WorkerPage](data, "a list of workers")
}

func (p WorkerPage) complete() bool  { return p.HiveID != "" && p.Workers != nil }
func (p WorkerPage) ids() WorkerPage { return WorkerPage{HiveID: p.HiveID} }

// WorkerAnswer answers a [GetRequest].
type WorkerAnswer struct {
	// HiveID is the hive that answers.
	HiveID string `json:"hive_id" jsonschema:"the hive that answers"`
	// Worker is the worker that was asked for.
	Worker Worker `json:"worker" jsonschema:"the worker that was asked for"`
}

// Encode returns the answer as it travels.
func (a WorkerAnswer) Encode() ([]byte, error) { return encode(a) }

// DecodeWorker reads the answer to a [GetRequest]. If the hive answered with a [Failure], the error is its [*Error].
// Fields that this version does not know are passed over.
func DecodeWorker(data []byte) (WorkerAnswer, error) {
	return decodeAnswer[WorkerAnswer](data, "a worker")
}

func (a WorkerAnswer) complete() bool    { return a.HiveID != "" && a.Worker.WorkerID != "" }
func (a WorkerAnswer) ids() WorkerAnswer { return WorkerAnswer{HiveID: a.HiveID} }
