package messages

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Code names a kind of failure. Codes are stable: programs may compare them. A Code is itself an error, so that
// errors.Is(err, messages.NoFreePort) holds for every [*Error] with that code.
type Code string

// The codes, each with the number that travels in the [HeaderErrorCode] header.
const (
	InvalidJob          Code = "invalid_job"          // 400: the job cannot be read or breaks a rule; the message names the field
	UnknownOperation    Code = "unknown_operation"    // 400: no hive knows the operation
	WrongHive           Code = "wrong_hive"           // 400: the job names another hive than the subject
	UnsupportedDevice   Code = "unsupported_device"   // 400: the device string is none that a hive knows
	UnsupportedPlatform Code = "unsupported_platform" // 400: this machine's system cannot run that worker
	DeviceNotFound      Code = "device_not_found"     // 404: this machine has no such device
	WorkerNotInstalled  Code = "worker_not_installed" // 404: no binary; the error lists every path tried
	WorkerNotFound      Code = "worker_not_found"     // 404: no such worker on this hive
	DeadlineExceeded    Code = "deadline_exceeded"    // 408: the job's deadline passed before it was started
	WorkerConflict      Code = "worker_conflict"      // 409: the worker id is taken by another spec
	PortInUse           Code = "port_in_use"          // 409: the port the job asks for is taken
	BinaryInvalid       Code = "binary_invalid"       // 422: the binary is there but must not or cannot be started
	ChecksumMismatch    Code = "checksum_mismatch"    // 422: the binary is not the one that was installed
	BuildFailed         Code = "build_failed"         // 422: a development build failed; the error has the compiler's own lines
	Internal            Code = "internal"             // 500: a fault of the hive itself
	SpawnFailed         Code = "spawn_failed"         // 500: the operating system refused to start the process
	WorkerExited        Code = "worker_exited"        // 502: the process started and ended at once
	HiveBusy            Code = "hive_busy"            // 503: the line of waiting jobs is full
	HiveDraining        Code = "hive_draining"        // 503: the hive is stopping and takes no new job
	NoFreePort          Code = "no_free_port"         // 503: every port of the hive's range is taken
	NotReady            Code = "not_ready"            // 504: the worker runs but did not become ready in time
)

var statuses = map[Code]int{
	InvalidJob: 400, UnknownOperation: 400, WrongHive: 400, UnsupportedDevice: 400, UnsupportedPlatform: 400,
	DeviceNotFound: 404, WorkerNotInstalled: 404, WorkerNotFound: 404, DeadlineExceeded: 408, WorkerConflict: 409, PortInUse: 409,
	BinaryInvalid: 422, ChecksumMismatch: 422, BuildFailed: 422, Internal: 500, SpawnFailed: 500, WorkerExited: 502,
	HiveBusy: 503, HiveDraining: 503, NoFreePort: 503, NotReady: 504,
}

// Status returns the code's number, chosen as HTTP would; 500 for a code this version does not know.
func (c Code) Status() int {
	if status, ok := statuses[c]; ok {
		return status
	}
	return 500
}

// Error returns the code itself.
func (c Code) Error() string { return string(c) }

// Error is a failure as it travels: both the Go error that a spawner returns and the JSON that the caller reads.
type Error struct {
	// Code names the kind of failure.
	Code Code `json:"code" jsonschema:"the kind of failure; stable"`
	// Message is one line that a person understands and that says what to do next where that is known.
	Message string `json:"message" jsonschema:"one line for a person"`
	// ExitCode is how the worker's process ended; nil if it did not exit by itself.
	ExitCode *int `json:"exit_code,omitempty" jsonschema:"exit code of the worker's process, if it exited"`
	// Signal is the signal that ended the worker's process, like "SIGKILL"; empty if none did.
	Signal string `json:"signal,omitempty" jsonschema:"signal that ended the worker's process, if one did"`
	// OOMKilled says that the kernel ended the worker because memory ran out; false also where that cannot be known.
	OOMKilled bool `json:"oom_killed,omitempty" jsonschema:"true if the kernel ended the worker because memory ran out"`
	// LivedMS is how long the worker's process lived, in milliseconds; 0 if there was none or nobody knows.
	LivedMS int64 `json:"lived_ms,omitempty" jsonschema:"how long the worker's process lived, in milliseconds"`
	// LogTail holds the last lines of the worker's log, oldest first.
	LogTail []string `json:"log_tail,omitempty" jsonschema:"last lines of the worker's log"`
	// LogPath is the file on the hive's machine that holds the worker's output; empty if there is none.
	LogPath string `json:"log_path,omitempty" jsonschema:"file on the hive's machine that holds the worker's output"`
	// Command is the file that was started and its arguments, without secrets; empty if it never came to that.
	Command []string `json:"command,omitempty" jsonschema:"the file that was started and its arguments, without secrets"`
	// Tried lists the paths that were looked at, in order.
	Tried []string `json:"tried,omitempty" jsonschema:"paths that were looked at, in order"`
	// Devices lists what the machine has where it does not have the job's device.
	Devices []string `json:"devices,omitempty" jsonschema:"devices that the machine has, if it does not have the job's"`
	// Retryable says that the same job may succeed later without any change to it.
	Retryable bool `json:"retryable" jsonschema:"whether the same job may succeed later"`
	// Cause is the error behind this one on this machine; it does not travel.
	Cause error `json:"-"`
}

// Errorf returns an [*Error] with a formatted message, made one line and without credentials. An operand of %w becomes its Cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: Redact(OneLine(err.Error())), Cause: errors.Unwrap(err)}
}

// Error returns the message behind the code.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Is reports whether target is the code of e.
func (e *Error) Is(target error) bool { return target == e.Code }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// AsError returns err as a failure that can travel: the [*Error] in err's tree, or an [Internal] one. The text of err is
// never lost: what wraps the [*Error] becomes part of the message.
func AsError(err error) *Error {
	text := err.Error()
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return &Error{Code: Internal, Message: Redact(OneLine(text)), Cause: err}
	case text == e.Error():
		return e
	}
	wrapped := *e
	wrapped.Message = Redact(OneLine(strings.Replace(text, e.Error(), e.Message, 1)))
	wrapped.Cause = err
	return &wrapped
}

// OneLine returns text with a space where it has control characters, line breaks above all: a message is one line, and one
// header.
func OneLine(text string) string {
	if !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	return strings.Join(strings.FieldsFunc(text, unicode.IsControl), " ")
}
