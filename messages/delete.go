package messages

import "time"

// MaxGrace is the longest time that a delete may give its worker to end by itself.
const MaxGrace = time.Hour

// DeleteJob asks a hive to end one worker: every process of it. WorkerID is required.
type DeleteJob struct {
	// Operation is [WorkerDelete]; [DecodeDelete] fills it from the subject when it is empty.
	Operation Operation `json:"operation,omitempty" jsonschema:"worker_delete"`
	// JobID identifies the job; empty means a fresh id, except for a queued job, which must have one.
	JobID string `json:"job_id,omitempty" jsonschema:"identifies the job; a request without one gets a fresh id"`
	// HiveID, if given, must be the hive's own.
	HiveID string `json:"hive_id,omitempty" jsonschema:"if given, must be the id of the hive on the subject"`
	// WorkerID is the worker to end.
	WorkerID string `json:"worker_id" jsonschema:"the worker to end"`
	// PID, if not 0, must be the worker's process id, or the job is refused with [WorkerConflict]: the worker was replaced.
	PID int `json:"pid,omitempty" jsonschema:"if given, must be the worker's process id"`
	// GraceMS is how long the worker may take to obey SIGTERM before SIGKILL, in milliseconds; 0 means the worker's setting or
	// the hive's.
	GraceMS int64 `json:"grace_ms,omitempty" jsonschema:"how long it may take to end by itself, in milliseconds; the worker's or the hive's setting by default"`
	// Deadline is when the job is no longer wanted: past it, it is refused instead of begun. Zero means never.
	Deadline time.Time `json:"deadline,omitzero" jsonschema:"past it the job is refused, not begun late (RFC 3339)"`
}

var deleteFields = []string{"operation", "job_id", "hive_id", "worker_id", "pid", "grace_ms", "deadline"}

// DecodeDelete reads and validates a job that arrived on a subject naming op. The error is an [*Error] with the code
// [InvalidJob] or [UnknownOperation] and names the field that is wrong; the job then still carries the ids that could be
// read, so that the refusal reaches whoever asks for them.
func DecodeDelete(data []byte, op Operation) (DeleteJob, error) {
	job, err := decodeRequest[DeleteJob](data, op, WorkerDelete, deleteFields)
	job.Deadline = job.Deadline.UTC() // time.Time reads offsets, like +24:00, that it does not write
	if err == nil {
		return job, nil
	}
	ids := job.idsOnly()
	if job == (DeleteJob{}) {
		ids.JobID = peekJobID(data)
	}
	return ids, err
}

// Encode returns the job as it travels, or an error if it is not valid.
func (j DeleteJob) Encode() ([]byte, error) { return encodeValid(j) }

// Validate returns an [*Error] with the code [InvalidJob] that names the first field that breaks a rule.
func (j DeleteJob) Validate() error {
	return firstBroken(
		rule{"operation", checkOwn(j.Operation, WorkerDelete)},
		rule{"job_id", optional(j.JobID, CheckID)},
		rule{"hive_id", optional(j.HiveID, CheckID)},
		rule{"worker_id", checkWorker(j.WorkerID)},
		rule{"pid", checkPID(j.PID)},
		rule{"grace_ms", checkRange(j.GraceMS, MaxGrace.Milliseconds())},
		rule{"deadline", checkDeadline(j.Deadline)},
	)
}

// Grace returns GraceMS as a duration.
func (j DeleteJob) Grace() time.Duration { return time.Duration(j.GraceMS) * time.Millisecond }

func (j *DeleteJob) operation() *Operation { return &j.Operation }

// idsOnly returns a job that holds nothing but the ids of j that are valid.
func (j DeleteJob) idsOnly() DeleteJob {
	ids := Job{JobID: j.JobID, WorkerID: j.WorkerID}.idsOnly()
	return DeleteJob{JobID: ids.JobID, WorkerID: ids.WorkerID}
}

// Deleted answers a [DeleteJob] whose worker is gone: no process of it is left, and its port is free.
type Deleted struct {
	// JobID is the job that is answered.
	JobID string `json:"job_id" jsonschema:"the job that is answered"`
	// HiveID is the hive that ran it.
	HiveID string `json:"hive_id" jsonschema:"the hive that ran the job"`
	// WorkerID is the worker that is gone.
	WorkerID string `json:"worker_id" jsonschema:"the worker that is gone"`
	// PID was its process id.
	PID int `json:"pid" jsonschema:"what was its process id"`
	// Signal is the strongest signal that it took: "SIGTERM" or what its manifest names instead, or "SIGKILL".
	Signal string `json:"signal" jsonschema:"the strongest signal that it took: SIGTERM or what its manifest names instead, or SIGKILL"`
	// TookMS is how long it took from the first signal until nothing was left, in milliseconds.
	TookMS int64 `json:"took_ms" jsonschema:"how long it took until nothing was left, in milliseconds"`
	// Processes is how many processes have ended.
	Processes int `json:"processes" jsonschema:"how many processes have ended"`
	// ExitCode is how its first process ended; nil if a signal ended it or nobody knows.
	ExitCode *int `json:"exit_code,omitempty" jsonschema:"exit code of its first process, if it exited"`
}

// Encode returns the answer as it travels.
func (d Deleted) Encode() ([]byte, error) { return encode(d) }

// DecodeDeleted reads the answer to a [DeleteJob]. If the hive answered with a [Failure], the error is its [*Error], and the
// answer holds the ids of job and hive. Fields that this version does not know are passed over.
func DecodeDeleted(data []byte) (Deleted, error) {
	return decodeAnswer[Deleted](data, "a deleted worker")
}

func (d Deleted) complete() bool { return d.JobID != "" && d.WorkerID != "" && d.Signal != "" }
func (d Deleted) ids() Deleted   { return Deleted{JobID: d.JobID, HiveID: d.HiveID} }
