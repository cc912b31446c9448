package queen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/messages"
)

// NoHiveError says that nobody takes requests under the id of a hive, so that nothing was done. It wraps
// [nats.ErrNoResponders].
type NoHiveError struct {
	// Hive is the hive that was asked.
	Hive string
	// Prefix is the subject prefix under which it was looked for.
	Prefix string
	// Known are the ids of the hives that could be found, sorted, each once; empty if none answered.
	Known []string
}

// Error names the hives that exist.
func (e *NoHiveError) Error() string {
	switch {
	case len(e.Known) == 0:
		return fmt.Sprintf("no hive %s answers, and no other below %s: start `rbee-hive serve` on its machine, against this NATS server", e.Hive, e.Prefix)
	case slices.Contains(e.Known, e.Hive):
		return fmt.Sprintf("hive %s took no request but is there now: ask again", e.Hive)
	}
	return fmt.Sprintf("no hive %s answers; those that do: %s", e.Hive, strings.Join(e.Known, ", "))
}

// Unwrap returns [nats.ErrNoResponders].
func (e *NoHiveError) Unwrap() error { return nats.ErrNoResponders }

// NoAnswerError says that a request was sent and no answer to it came that can be used: the context ended, the connection
// closed, or what came was not for this request. A job may have had its effect all the same. Asking again is always safe: the
// same job never starts a second worker, and a worker that is deleted already is [messages.WorkerNotFound].
type NoAnswerError struct {
	// Hive is the hive that was asked.
	Hive string
	// Operation is what it was asked for.
	Operation messages.Operation
	// JobID is the job to ask again with; empty if it was a question.
	JobID string
	// Err is why there is no answer.
	Err error
}

// Error says what was waited for and what to do.
func (e *NoAnswerError) Error() string {
	what, next := "job "+e.JobID, "its worker may run all the same: ask again with this job id, which starts no second one"
	switch {
	case e.JobID == "":
		what, next = string(e.Operation), "ask again"
	case e.Operation == messages.WorkerDelete:
		next = "its worker may be gone all the same: ask again, and one that is gone is not found"
	}
	return fmt.Sprintf("wait for hive %s to answer %s: %v; %s", e.Hive, what, e.Err, next)
}

// Unwrap returns Err, so that errors.Is finds [context.DeadlineExceeded] and its like.
func (e *NoAnswerError) Unwrap() error { return e.Err }

// UnsureError says that nobody knows whether a job is in the queue: it was sent, and no word of the server came. Queueing it again with
// the same job id is always safe: the same job is never there twice, and one that has run is not run again.
type UnsureError struct {
	// HiveID and JobID say which job it is; queue it again with them.
	HiveID, JobID string
	// Err is why no word came.
	Err error
}

// Error says what to do.
func (e *UnsureError) Error() string {
	return fmt.Sprintf("queue job %s for hive %s: %v; it may be in the queue all the same: queue it again with this job id, which adds no second one, or look for it with `rbee jobs get %s`",
		e.JobID, e.HiveID, e.Err, e.JobID)
}

// Unwrap returns Err, so that errors.Is finds [context.DeadlineExceeded] and its like.
func (e *UnsureError) Unwrap() error { return e.Err }

// GapError says that a [Narration] has a gap at about this place and goes on behind it. The sequence numbers of a job's
// events tell which of them are missing.
type GapError struct {
	// Dropped counts the events that arrived and were given up because those before them were not read in time.
	Dropped int
	// Reconnected says that the connection was lost and came back: what was told meanwhile never arrived, and nobody
	// knows how much that is.
	Reconnected bool
}

// Error says what is missing.
func (e *GapError) Error() string {
	var parts []string
	if e.Dropped > 0 {
		parts = append(parts, fmt.Sprintf("%d events were dropped because they were not read in time", e.Dropped))
	}
	if e.Reconnected {
		parts = append(parts, "what was told while the connection was lost is missing")
	}
	return "narration has a gap: " + strings.Join(parts, ", and ")
}
