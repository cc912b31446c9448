package messages

import (
	"fmt"

	"github.com/google/uuid"
)

// MaxID is the length in bytes of the longest hive, job or worker id.
const MaxID = 64

// workerSpace is the namespace of the worker ids that are derived from a hive and a job.
var workerSpace = uuid.MustParse("7f1b6c1e-53a4-5c59-9c3a-0d6a3f0c7e11")

// CheckID returns an error that says what an id may hold if id is not one: 1 to 64 letters, digits, '_' or '-' of
// ASCII. An id is one token of a subject and one name of a file; a bad one is refused and never rewritten, because
// rewriting can make two ids one.
func CheckID(id string) error {
	if id == "" {
		return fmt.Errorf("is empty: use 1 to %d letters, digits, '_' or '-'", MaxID)
	}
	if len(id) > MaxID {
		return fmt.Errorf("has %d bytes: use 1 to %d letters, digits, '_' or '-'", len(id), MaxID)
	}
	for i := range len(id) {
		if !idByte(id[i]) {
			return fmt.Errorf("%q is not an id: use 1 to %d letters, digits, '_' or '-'", id, MaxID)
		}
	}
	return nil
}

func idByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// NewJobID returns a fresh job id. Ids made later sort later.
func NewJobID() string {
	return "job-" + newUUID()
}

// WorkerID returns the id of the worker that a job without one starts: the same hive and job always mean the same worker.
func WorkerID(hive, job string) string {
	return "worker-" + uuid.NewSHA1(workerSpace, []byte(hive+"/"+job)).String()
}

// newUUID returns a random id that sorts by time (UUIDv7, RFC 9562).
func newUUID() string {
	return uuid.Must(uuid.NewV7()).String()
}
