package queen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// NoHiveError says that nobody takes jobs under the id of a hive, so that no worker was started. It wraps
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
		return fmt.Sprintf("no hive %s answers, and no other under %s: start rbee-hive on its machine, against this NATS server", e.Hive, e.Prefix)
	case slices.Contains(e.Known, e.Hive):
		return fmt.Sprintf("hive %s took no job but is there now: ask again", e.Hive)
	}
	return fmt.Sprintf("no hive %s answers; those that do: %s", e.Hive, strings.Join(e.Known, ", "))
}

// Unwrap returns [nats.ErrNoResponders].
func (e *NoHiveError) Unwrap() error { return nats.ErrNoResponders }

// NoAnswerError says that a job was sent and no answer to it came that can be used: the context ended, the connection
// closed, or what came was not for this job. The worker may run all the same. Asking again with the same job id is
// always safe, because the same job never starts a second worker.
type NoAnswerError struct {
	// Hive is the hive that was asked.
	Hive string
	// JobID is the job to ask again with.
	JobID string
	// Err is why there is no answer.
	Err error
}

// Error says what was waited for and what to do.
func (e *NoAnswerError) Error() string {
	return fmt.Sprintf("wait for hive %s to answer job %s: %v; its worker may run all the same: ask again with this job id, which starts no second one",
		e.Hive, e.JobID, e.Err)
}

// Unwrap returns Err, so that errors.Is finds [context.DeadlineExceeded] and its like.
func (e *NoAnswerError) Unwrap() error { return e.Err }

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
