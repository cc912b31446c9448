package messages

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// StatusRequest asks a hive how it is. All of it may be left out.
type StatusRequest struct {
	// Operation is [HiveStatus]; [DecodeStatus] fills it from the subject when it is empty.
	Operation Operation `json:"operation,omitempty" jsonschema:"hive_status"`
	// HiveID, if given, must be the hive's own.
	HiveID string `json:"hive_id,omitempty" jsonschema:"if given, must be the id of the hive on the subject"`
}

var statusFields = []string{"operation", "hive_id"}

// DecodeStatus reads and validates a request that arrived on a subject naming op. The error is an [*Error] with the code
// [InvalidJob] or [UnknownOperation] and names the field that is wrong.
func DecodeStatus(data []byte, op Operation) (StatusRequest, error) {
	return decodeQuestion[StatusRequest](data, op, HiveStatus, statusFields)
}

// Encode returns the request as it travels, or an error if it is not valid.
func (r StatusRequest) Encode() ([]byte, error) { return encodeValid(r) }

// Validate returns an [*Error] with the code [InvalidJob] that names the first field that breaks a rule.
func (r StatusRequest) Validate() error {
	return firstBroken(
		rule{"operation", checkOwn(r.Operation, HiveStatus)},
		rule{"hive_id", optional(r.HiveID, CheckID)},
	)
}

func (r *StatusRequest) operation() *Operation { return &r.Operation }

// request is what the requests of all operations have in common.
type request[R any] interface {
	*R
	operation() *Operation
	Validate() error
}

// decodeQuestion is decodeRequest for what leaves nothing behind when it is refused.
func decodeQuestion[R any, P request[R]](data []byte, op, own Operation, known []string) (R, error) {
	if len(data) == 0 {
		data = []byte("{}") // all of most questions may be left out
	}
	r, err := decodeRequest[R, P](data, op, own, known)
	if err != nil {
		var none R
		return none, err
	}
	return r, nil
}

// decodeRequest reads and validates a request that arrived on a subject naming op; own is the operation that it belongs
// to. A request that was read and breaks a rule is returned with the error, so that a caller can keep what is good of it.
func decodeRequest[R any, P request[R]](data []byte, op, own Operation, known []string) (R, error) {
	var r R
	if op != own {
		return r, otherOperation(op, own)
	}
	if err := decodeStrict(data, &r, known, "deadline"); err != nil {
		var none R
		return none, Errorf(InvalidJob, "%w", err)
	}
	named := P(&r).operation()
	if *named == "" {
		*named = op
	}
	if *named != op {
		return r, Errorf(InvalidJob, "operation: is %s on a subject for %s", clip(string(*named)), op)
	}
	return r, P(&r).Validate()
}

// encodeValid renders a request if it is valid.
func encodeValid[R interface{ Validate() error }](r R) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return encode(r)
}

// otherOperation refuses op where only want is read.
func otherOperation(op, want Operation) *Error {
	if slices.Contains(Operations, op) {
		return Errorf(UnknownOperation, "operation %s is not %s", op, want)
	}
	return Errorf(UnknownOperation, "operation %s is none that a hive knows; the known ones are %s", clip(string(op)), listOf(Operations))
}

func listOf(operations []Operation) string {
	var list strings.Builder
	for i, op := range operations {
		if i > 0 {
			list.WriteString(", ")
		}
		list.WriteString(string(op))
	}
	return list.String()
}

// rule is what a check said of one field.
type rule struct {
	field string
	err   error
}

// firstBroken returns an [*Error] that names the first field with an error, or nil.
func firstBroken(rules ...rule) error {
	for _, rule := range rules {
		if rule.err != nil {
			return Errorf(InvalidJob, "%s: %w", rule.field, rule.err)
		}
	}
	return nil
}

// checkOwn refuses an operation that is neither empty nor own.
func checkOwn(op, own Operation) error {
	if op != "" && op != own {
		return fmt.Errorf("is %q; it must be %s", clip(string(op)), own)
	}
	return nil
}

func checkWorker(id string) error {
	if id == "" {
		return errors.New("is missing: name the worker, as worker_list tells its id")
	}
	return CheckID(id)
}

// checkPID refuses what can be no worker's process: 1 is the system's first, and less is everybody to some calls.
func checkPID(pid int) error {
	if pid != 0 && (pid < 2 || pid > math.MaxInt32) {
		return fmt.Errorf("is %d; use the worker's process id, or leave the field out", pid)
	}
	return nil
}

func checkRange(value, most int64) error {
	if value < 0 || value > most {
		return fmt.Errorf("is %d; use 0 to %d", value, most)
	}
	return nil
}
