package messages

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Operation names what a job asks a hive to do. It is the last word of the job's request subject.
type Operation string

// The operations that a hive knows.
const (
	// WorkerSpawn starts a worker; it takes a [Job] and answers with a [Result], a [Plan] if it is a dry run, or a [Failure].
	WorkerSpawn Operation = "worker_spawn"
	// WorkerList tells which workers there are; it takes a [ListRequest] and answers with a [WorkerPage] or a [Failure].
	WorkerList Operation = "worker_list"
	// WorkerGet tells of one worker; it takes a [GetRequest] and answers with a [WorkerAnswer] or a [Failure].
	WorkerGet Operation = "worker_get"
	// WorkerDelete ends a worker; it takes a [DeleteJob] and answers with a [Deleted] or a [Failure].
	WorkerDelete Operation = "worker_delete"
	// WorkerLogs reads a worker's log; it takes a [LogsRequest] and answers with [Logs] or a [Failure].
	WorkerLogs Operation = "worker_logs"
	// CatalogList tells which workers are installed; it takes a [CatalogRequest] and answers with a [CatalogPage] or a [Failure].
	CatalogList Operation = "catalog_list"
	// HiveStatus tells of the hive itself; it takes a [StatusRequest] and answers with a [HiveInfo] or a [Failure].
	HiveStatus Operation = "hive_status"
)

// Operations lists every operation that a hive knows.
var Operations = []Operation{WorkerSpawn, WorkerList, WorkerGet, WorkerDelete, WorkerLogs, CatalogList, HiveStatus}

// Wait says how far a job's worker must be before the job is answered.
type Wait string

// The states that a job can wait for.
const (
	// WaitSpawned answers once the process runs and did not end at once. It is the default.
	WaitSpawned Wait = "spawned"
	// WaitReady answers once the worker's own health check says that it serves.
	WaitReady Wait = "ready"
)

// MaxReadyTimeout is the longest time that a job may wait for its worker to be ready.
const MaxReadyTimeout = 24 * time.Hour

// Job asks a hive to start one worker. Model and Device are required, and so is Operation unless the subject says it.
type Job struct {
	// Operation is what to do; [DecodeJob] fills it from the subject when it is empty.
	Operation Operation `json:"operation" jsonschema:"worker_spawn"`
	// JobID identifies the job; empty means a fresh id, except for a queued job, which must have one.
	JobID string `json:"job_id,omitempty" jsonschema:"identifies the job; a request without one gets a fresh id"`
	// HiveID, if given, must be the hive's own.
	HiveID string `json:"hive_id,omitempty" jsonschema:"if given, must be the id of the hive on the subject"`
	// Model is what the worker serves: a name or a path, passed to the worker as it is.
	Model string `json:"model" jsonschema:"model that the worker serves: a name or a path"`
	// Device is where the worker runs: "cpu", "cuda:0", "metal". It decides the worker's type.
	Device string `json:"device" jsonschema:"cpu, cuda:N or metal"`
	// WorkerID identifies the worker; empty means [WorkerID] of the hive and the job.
	WorkerID string `json:"worker_id,omitempty" jsonschema:"identifies the worker; by default derived from hive and job"`
	// Worker names a worker of the catalog other than the device's own; empty means the device's own.
	Worker string `json:"worker,omitempty" jsonschema:"catalog name of a worker other than the device's own"`
	// Version pins a version of the catalog; empty means the highest.
	Version string `json:"version,omitempty" jsonschema:"version of the catalog entry; the highest by default"`
	// Port is where the worker listens; 0 means a free one of the hive's range.
	Port int `json:"port,omitempty" jsonschema:"TCP port of the worker; 0 takes a free one of the hive's range"`
	// QueenURL is where the worker sends its heartbeats; empty means the hive's setting.
	QueenURL string `json:"queen_url,omitempty" jsonschema:"where the worker sends heartbeats; the hive's setting by default"`
	// Wait says when to answer; empty means [WaitSpawned].
	Wait Wait `json:"wait,omitempty" jsonschema:"spawned (the process runs) or ready (it serves)"`
	// ReadyTimeoutMS bounds [WaitReady] in milliseconds; 0 means the hive's setting.
	ReadyTimeoutMS int64 `json:"ready_timeout_ms,omitempty" jsonschema:"how long to wait for ready, in milliseconds"`
	// Deadline is when the job is no longer wanted: past it, it is refused instead of started. Zero means never.
	Deadline time.Time `json:"deadline,omitzero" jsonschema:"past it the job is refused, not started late (RFC 3339)"`
	// DryRun asks what the job would start, which a [Plan] answers, and starts nothing. Such a job is a question: it is not
	// narrated, leaves no result, and is not queued.
	DryRun bool `json:"dry_run,omitempty" jsonschema:"true to be told what the job would start, and start nothing"`
}

var jobFields = []string{
	"operation", "job_id", "hive_id", "model", "device", "worker_id", "worker", "version", "port", "queen_url", "wait",
	"ready_timeout_ms", "deadline", "dry_run",
}

// Names that become part of a path: they begin with a letter or digit and hold no separator.
var (
	workerPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	versionPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$`)
)

// DecodeJob reads and validates a job that arrived on a subject naming op. The error is an [*Error] with the code
// [InvalidJob] or [UnknownOperation] and names the field that is wrong; the job then still carries the ids that could be
// read, so that the refusal reaches whoever asks for them.
func DecodeJob(data []byte, op Operation) (Job, error) {
	if op != WorkerSpawn {
		return Job{JobID: peekJobID(data)}, otherOperation(op, WorkerSpawn)
	}
	var job Job
	if !decodePlain(data, job.readPlain) {
		job = Job{}
		if err := decodeStrict(data, &job, jobFields, "deadline"); err != nil {
			return Job{JobID: peekJobID(data)}, Errorf(InvalidJob, "%w", err)
		}
	}
	if job.Operation == "" {
		job.Operation = op
	}
	job.Deadline = job.Deadline.UTC() // time.Time reads offsets, like +24:00, that it does not write
	if job.Operation != op {
		return job.idsOnly(), Errorf(InvalidJob, "operation: is %s on a subject for %s", clip(string(job.Operation)), op)
	}
	if err := job.Validate(); err != nil {
		return job.idsOnly(), err
	}
	return job, nil
}

// Encode returns the job as it travels, or an error if it is not valid.
func (j Job) Encode() ([]byte, error) {
	if err := j.Validate(); err != nil {
		return nil, err
	}
	return j.AppendJSON(nil)
}

// Validate returns an [*Error] with the code [InvalidJob] that names the first field that breaks a rule.
func (j Job) Validate() error {
	for _, rule := range []struct {
		field string
		err   error
	}{
		{"operation", checkOperation(j.Operation)},
		{"job_id", optional(j.JobID, CheckID)},
		{"hive_id", optional(j.HiveID, CheckID)},
		{"model", checkModel(j.Model)},
		{"device", checkDevice(j.Device)},
		{"worker_id", optional(j.WorkerID, CheckID)},
		{"worker", optional(j.Worker, checkPattern(workerPattern, "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"))},
		{"version", optional(j.Version, checkPattern(versionPattern, "1 to 64 letters, digits, '.', '+', '_' or '-', beginning with a letter or digit"))},
		{"port", checkPort(j.Port)},
		{"queen_url", optional(j.QueenURL, CheckQueenURL)},
		{"wait", checkWait(j.Wait)},
		{"ready_timeout_ms", checkReadyTimeout(j.ReadyTimeoutMS)},
		{"deadline", checkDeadline(j.Deadline)},
	} {
		if rule.err != nil {
			return Errorf(InvalidJob, "%s: %w", rule.field, rule.err)
		}
	}
	return nil
}

// SameSpec reports whether j asks for the same worker as other: what runs, not who asked or how long to wait.
// A port of 0 asks for any.
func (j Job) SameSpec(other Job) bool {
	return j.Model == other.Model && j.Device == other.Device && j.Worker == other.Worker && j.Version == other.Version &&
		j.QueenURL == other.QueenURL && (j.Port == other.Port || j.Port == 0)
}

// ReadyTimeout returns ReadyTimeoutMS as a duration.
func (j Job) ReadyTimeout() time.Duration {
	return time.Duration(j.ReadyTimeoutMS) * time.Millisecond
}

// idsOnly returns a job that holds nothing but the ids of j that are valid.
func (j Job) idsOnly() Job {
	var ids Job
	if CheckID(j.JobID) == nil {
		ids.JobID = j.JobID
	}
	if CheckID(j.WorkerID) == nil {
		ids.WorkerID = j.WorkerID
	}
	return ids
}

func optional(value string, check func(string) error) error {
	if value == "" {
		return nil
	}
	return check(value)
}

func checkOperation(op Operation) error {
	if op != WorkerSpawn {
		return fmt.Errorf("is %q; it must be %s", clip(string(op)), WorkerSpawn)
	}
	return nil
}

func checkModel(model string) error {
	if model == "" {
		return errors.New("is missing: name the model to serve, like meta-llama/Llama-3-8b")
	}
	if strings.HasPrefix(model, "-") {
		return fmt.Errorf("%s begins with '-', which a worker would read as a flag", clip(model))
	}
	return checkText(model, 1024)
}

func checkDevice(device string) error {
	if device == "" {
		return errors.New("is missing: use cpu, cuda:N or metal")
	}
	return checkText(device, 64)
}

func checkPattern(pattern *regexp.Regexp, want string) func(string) error {
	return func(value string) error {
		if !pattern.MatchString(value) {
			return fmt.Errorf("is %q; use %s", clip(value), want)
		}
		return nil
	}
}

func checkPort(port int) error {
	if port < 0 || port > 65535 {
		return fmt.Errorf("is %d; use 1 to 65535, or 0 for a free one", port)
	}
	return nil
}

// CheckQueenURL returns an error if raw is not an http or https URL with a host.
func CheckQueenURL(raw string) error {
	if err := checkText(raw, 2048); err != nil {
		return err
	}
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return errors.New("is not a URL like http://localhost:8500")
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
		return fmt.Errorf("has the port %s; use 1 to 65535", clip(u.Port()))
	}
	return nil
}

func checkWait(wait Wait) error {
	switch wait {
	case "", WaitSpawned, WaitReady:
		return nil
	}
	return fmt.Errorf("is %q; use %s or %s", clip(string(wait)), WaitSpawned, WaitReady)
}

func checkReadyTimeout(ms int64) error {
	if ms < 0 || ms > MaxReadyTimeout.Milliseconds() {
		return fmt.Errorf("is %d; use 0 to %d", ms, MaxReadyTimeout.Milliseconds())
	}
	return nil
}

func checkDeadline(deadline time.Time) error {
	if year := deadline.UTC().Year(); year < 1 || year > 9999 {
		return fmt.Errorf("is in the year %d; use one from 1 to 9999", year)
	}
	return nil
}
