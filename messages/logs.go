package messages

import (
	"errors"
	"math"
)

// Bounds of a [LogsRequest].
const (
	// DefaultTail is how many lines a request answers that says neither how many nor where.
	DefaultTail = 100
	// MaxTail is how many lines one request may ask for.
	MaxTail = 10_000
	// MaxLogRange is how many bytes one request may ask for. A hive answers less where the server takes less in one message.
	MaxLogRange = 1 << 20
)

// LogsRequest asks a hive for a part of a worker's log: its last lines, or the lines from a place on. WorkerID is required.
//
// A place is an offset in bytes into all that the worker's attempt has written, whether or not it was kept.
type LogsRequest struct {
	// Operation is [WorkerLogs]; [DecodeLogs] fills it from the subject when it is empty.
	Operation Operation `json:"operation,omitempty" jsonschema:"worker_logs"`
	// HiveID, if given, must be the hive's own.
	HiveID string `json:"hive_id,omitempty" jsonschema:"if given, must be the id of the hive on the subject"`
	// WorkerID is the worker whose log is read.
	WorkerID string `json:"worker_id" jsonschema:"the worker whose log is read"`
	// Tail asks for the last lines; 0 means [DefaultTail], unless From is given. It excludes From.
	Tail int `json:"tail,omitempty" jsonschema:"how many of the last lines; 100 by default, unless from is given"`
	// From asks for the lines from this place on; nil asks for a tail. To follow a log, ask again with [Logs.Next].
	From *int64 `json:"from,omitempty" jsonschema:"place in bytes to read from; excludes tail"`
	// Limit bounds the lines that are read from From, in bytes; 0 means the hive's setting.
	Limit int64 `json:"limit,omitempty" jsonschema:"how many bytes to read at most, with from"`
}

var logsFields = []string{"operation", "hive_id", "worker_id", "tail", "from", "limit"}

// DecodeLogs reads and validates a request that arrived on a subject naming op. The error is an [*Error] with the code
// [InvalidJob] or [UnknownOperation] and names the field that is wrong.
func DecodeLogs(data []byte, op Operation) (LogsRequest, error) {
	return decodeQuestion[LogsRequest](data, op, WorkerLogs, logsFields)
}

// Encode returns the request as it travels, or an error if it is not valid.
func (r LogsRequest) Encode() ([]byte, error) { return encodeValid(r) }

// Validate returns an [*Error] with the code [InvalidJob] that names the first field that breaks a rule.
func (r LogsRequest) Validate() error {
	return firstBroken(
		rule{"operation", checkOwn(r.Operation, WorkerLogs)},
		rule{"hive_id", optional(r.HiveID, CheckID)},
		rule{"worker_id", checkWorker(r.WorkerID)},
		rule{"tail", checkRange(int64(r.Tail), MaxTail)},
		rule{"from", r.checkFrom()},
		rule{"limit", r.checkLimit()},
	)
}

func (r LogsRequest) checkFrom() error {
	switch {
	case r.From == nil:
		return nil
	case r.Tail != 0:
		return errors.New("stands beside tail; use one of them")
	}
	return checkRange(*r.From, math.MaxInt64)
}

func (r LogsRequest) checkLimit() error {
	if r.Limit != 0 && r.From == nil {
		return errors.New("stands without from; a tail is counted in lines")
	}
	return checkRange(r.Limit, MaxLogRange)
}

// Lines returns how many of the last lines are asked for; 0 if From says where to begin.
func (r LogsRequest) Lines() int {
	if r.From == nil && r.Tail == 0 {
		return DefaultTail
	}
	return r.Tail
}

func (r *LogsRequest) operation() *Operation { return &r.Operation }

// Logs answers a [LogsRequest].
//
// Lines are whole: one that the worker has not ended yet comes with a later answer, so Next may stay before Size. There are
// two exceptions. Once the worker has exited, what follows its last line end is a line as well; and a line that is longer
// than an answer can be comes in parts, one for each answer.
type Logs struct {
	// HiveID is the hive that answers.
	HiveID string `json:"hive_id" jsonschema:"the hive that answers"`
	// WorkerID is the worker whose log was read.
	WorkerID string `json:"worker_id" jsonschema:"the worker whose log was read"`
	// LogPath is the file on the hive's machine that takes the worker's output now.
	LogPath string `json:"log_path" jsonschema:"file on the hive's machine that takes the worker's output"`
	// Size is the place behind the last byte that the worker has written.
	Size int64 `json:"size" jsonschema:"what the worker has written so far, in bytes"`
	// Start is the place of the oldest byte that is still kept.
	Start int64 `json:"start" jsonschema:"place of the oldest byte that is still kept"`
	// From is the place of the first line here.
	From int64 `json:"from" jsonschema:"place of the first line"`
	// Next is the place behind the last line here: where to ask from for what follows.
	Next int64 `json:"next" jsonschema:"place behind the last line: where to go on"`
	// Missed is how many bytes behind the place that was asked for are no longer kept; 0 on a tail.
	Missed int64 `json:"missed,omitempty" jsonschema:"bytes behind the place that was asked for that are no longer kept"`
	// Lines are the lines without their ends, oldest first, in valid UTF-8.
	Lines []string `json:"lines" jsonschema:"the lines without their ends, oldest first"`
	// State is how far the worker has come. Once it is [StateExited] and Next is Size, nothing will follow.
	State State `json:"state" jsonschema:"starting, ready or exited"`
}

// Encode returns the answer as it travels.
func (l Logs) Encode() ([]byte, error) {
	if l.Lines == nil {
		l.Lines = []string{}
	}
	return encode(l)
}

// Ended reports whether nothing will follow what l holds.
func (l Logs) Ended() bool { return l.State == StateExited && l.Next >= l.Size }

// DecodeLogsAnswer reads the answer to a [LogsRequest]. If the hive answered with a [Failure], the error is its [*Error].
// Fields that this version does not know are passed over.
func DecodeLogsAnswer(data []byte) (Logs, error) {
	return decodeAnswer[Logs](data, "lines of a log")
}

func (l Logs) complete() bool { return l.HiveID != "" && l.WorkerID != "" && l.Lines != nil }
func (l Logs) ids() Logs      { return Logs{HiveID: l.HiveID} }
