package queen

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// JobState says where a queued job is.
type JobState string

// The states of a queued job.
const (
	// JobWaiting is in the queue, and its hive has not been given it.
	JobWaiting JobState = "waiting"
	// JobRunning was given to its hive, which has not said that it is done with it: it is at work, or will try again.
	JobRunning JobState = "running"
	// JobDone has a result.
	JobDone JobState = "done"
	// JobFailed has a failure as its result.
	JobFailed JobState = "failed"
	// JobDead was given to its hive as often as it may be, or given up, and came to no result.
	JobDead JobState = "dead"
	// JobCancelled was taken out of the queue before its hive saw it.
	JobCancelled JobState = "cancelled"
	// JobExpired left the queue because its deadline or the age of the queue passed before its hive came.
	JobExpired JobState = "expired"
	// JobGone left the queue without a result, and nobody knows why: somebody may have removed it by hand.
	JobGone JobState = "gone"
)

// JobStates lists every state.
var JobStates = []JobState{JobWaiting, JobRunning, JobDone, JobFailed, JobDead, JobCancelled, JobExpired, JobGone}

// stateWords lists the states for a person.
func stateWords() string {
	var text strings.Builder
	for i, state := range JobStates {
		switch i {
		case 0:
		case len(JobStates) - 1:
			text.WriteString(" or ")
		default:
			text.WriteString(", ")
		}
		text.WriteString(string(state))
	}
	return text.String()
}

// Ended reports whether nothing more will become of the job.
func (s JobState) Ended() bool { return s != JobWaiting && s != JobRunning }

// QueuedJob is what the streams know of one job.
type QueuedJob struct {
	// JobID and HiveID say which job it is.
	JobID  string `json:"job_id"`
	HiveID string `json:"hive_id"`
	// Operation is what it asks for; empty if that is not known any more.
	Operation messages.Operation `json:"operation,omitempty"`
	// WorkerID, Model and Device say what it is about: the worker to start or to end and, of a spawn, what it serves and where. Each is
	// empty if that is not known any more.
	WorkerID string `json:"worker_id,omitempty"`
	Model    string `json:"model,omitempty"`
	Device   string `json:"device,omitempty"`
	// State is where it is.
	State JobState `json:"state"`
	// QueuedAt is when it was queued; zero if that is not known any more, or it came by request.
	QueuedAt time.Time `json:"queued_at,omitzero"`
	// EndedAt is when its result came, or the server gave it up; zero if neither.
	EndedAt time.Time `json:"ended_at,omitzero"`
	// Attempts is how often its hive was given it; 0 if nobody knows: the server tells only of those that it gave up.
	Attempts int `json:"attempts,omitempty"`
	// Reason is why a hive gave it up; empty if it did not, or did not say.
	Reason string `json:"reason,omitempty"`
	// Job is what was asked; nil in a list, and where that is not known any more.
	Job json.RawMessage `json:"job,omitempty"`
	// Answer is its [messages.Result], [messages.Deleted] or [messages.Failure] as it came over the wire; nil if there is none.
	Answer json.RawMessage `json:"answer,omitempty"`

	sequence uint64 // its place in the queue
	passing  bool   // its answer is a failure that may pass
}

// JobNotFoundError says that no stream knows a job.
type JobNotFoundError struct {
	// HiveID is the hive that was named; empty if none was.
	HiveID string
	// JobID is the job.
	JobID string
}

// Error says what may be the matter.
func (e *JobNotFoundError) Error() string {
	of := ""
	if e.HiveID != "" {
		of = " of hive " + e.HiveID
	}
	return fmt.Sprintf("no stream knows job %s%s: it was never queued, or so long ago that it is forgotten", e.JobID, of)
}

// Job returns what the streams know of one job, also long after it ended. hive may be empty: then any hive's.
//
// The error is a [*JobNotFoundError], or wraps [jetstream.ErrStreamNotFound] or [jetstream.ErrJetStreamNotEnabled] with what to do.
func (c *Client) Job(ctx context.Context, hive, id string) (QueuedJob, error) {
	if err := messages.CheckID(id); err != nil {
		return QueuedJob{}, messages.Errorf(messages.InvalidJob, "job_id: %w", err)
	}
	if hive != "" {
		if err := checkHive(hive, ""); err != nil {
			return QueuedJob{}, err
		}
	}
	streams, err := c.open(ctx)
	if err != nil {
		return QueuedJob{}, err
	}
	return streams.job(ctx, hive, id)
}
