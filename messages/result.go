package messages

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Result answers a job whose worker runs.
type Result struct {
	// JobID is the job that is answered.
	JobID string `json:"job_id" jsonschema:"the job that is answered"`
	// HiveID is the hive that ran it.
	HiveID string `json:"hive_id" jsonschema:"the hive that ran the job"`
	// WorkerID is the worker that runs.
	WorkerID string `json:"worker_id" jsonschema:"the worker that runs"`
	// PID is the worker's process id on the hive's machine.
	PID int `json:"pid" jsonschema:"process id on the hive's machine"`
	// Port is the TCP port that the worker was told to listen on.
	Port int `json:"port" jsonschema:"TCP port that the worker was told to listen on"`
	// BinaryPath is the absolute path of the file that was started.
	BinaryPath string `json:"binary_path" jsonschema:"absolute path of the file that was started"`
	// WorkerType is the type that the device means: CpuLlm, CudaLlm or MetalLlm.
	WorkerType string `json:"worker_type" jsonschema:"CpuLlm, CudaLlm or MetalLlm"`
	// Worker is the catalog name of the worker.
	Worker string `json:"worker" jsonschema:"catalog name of the worker"`
	// Version is the catalog version of the worker; empty for a development build.
	Version string `json:"version,omitempty" jsonschema:"catalog version; absent for a development build"`
	// Source is where the binary was found: catalog, debug or release.
	Source string `json:"source" jsonschema:"catalog, debug or release"`
	// Device is the device as the job gave it.
	Device string `json:"device" jsonschema:"the device as the job gave it"`
	// Model is the model as the job gave it.
	Model string `json:"model" jsonschema:"the model as the job gave it"`
	// StartedAt is when the process was started, on the hive's clock.
	StartedAt time.Time `json:"started_at" jsonschema:"when the process was started (RFC 3339, UTC)"`
	// LogPath is the file on the hive's machine that takes the worker's output.
	LogPath string `json:"log_path" jsonschema:"file on the hive's machine that takes the worker's output"`
	// Replayed says that the worker ran before this job arrived and that the job started nothing.
	Replayed bool `json:"replayed" jsonschema:"true if the worker ran before and nothing was started"`
	// Ended says, on a replay, that the worker has ended since. Another job id starts another worker.
	Ended bool `json:"ended,omitempty" jsonschema:"true if, on a replay, the worker has ended since"`
}

// Failure answers a job that failed, or a question.
type Failure struct {
	// JobID is the job that is answered; empty if it was a question.
	JobID string `json:"job_id,omitempty" jsonschema:"the job that is answered; may be absent if it was a question"`
	// HiveID is the hive that answers.
	HiveID string `json:"hive_id" jsonschema:"the hive that answers"`
	// Err says what failed.
	Err *Error `json:"error" jsonschema:"what failed"`
}

// Encode returns the result as it travels.
func (r Result) Encode() ([]byte, error) { return r.AppendJSON(nil) }

// Encode returns the failure as it travels.
func (f Failure) Encode() ([]byte, error) { return encode(f) }

// DecodeResult reads the answer to a job. If the hive answered with a [Failure], the error is its [*Error]. Fields that
// this version does not know are passed over.
func DecodeResult(data []byte) (Result, error) {
	var answer struct {
		Result
		Err *Error `json:"error"`
	}
	if !decodePlain(data, answer.readPlain) {
		answer.Result = Result{}
		if err := json.Unmarshal(data, &answer); err != nil {
			return Result{}, fmt.Errorf("read the hive's answer: %w", err)
		}
	}
	if answer.Err != nil {
		return Result{JobID: answer.JobID, HiveID: answer.HiveID}, answer.Err
	}
	if answer.JobID == "" || answer.WorkerID == "" {
		return Result{}, errors.New("read the hive's answer: it holds neither a result nor an error")
	}
	return answer.Result, nil
}

// peekJobID returns the job id in data that is otherwise refused, or "" if none can be read.
func peekJobID(data []byte) string {
	var peek struct {
		JobID string `json:"job_id"`
	}
	if len(data) > MaxPayload || json.Unmarshal(data, &peek) != nil || CheckID(peek.JobID) != nil {
		return ""
	}
	return peek.JobID
}
