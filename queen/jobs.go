package queen

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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

// Ended reports whether nothing more will become of the job.
func (s JobState) Ended() bool { return s != JobWaiting && s != JobRunning }

// QueuedJob is what the streams know of one job.
type QueuedJob struct {
	// JobID and HiveID say which job it is.
	JobID  string `json:"job_id"`
	HiveID string `json:"hive_id"`
	// Operation is what it asks for; empty if that is not known any more.
	Operation messages.Operation `json:"operation,omitempty"`
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

// archive is the streams of the fleet, open to be read.
type archive struct {
	*Client
	jobs, results, dead jetstream.Stream
	names               messages.Streams
	consumers           map[string]*jetstream.ConsumerInfo // of hives that were looked at; nil: it has none
	given               map[string]map[uint64]verdict      // by subject
}

// open looks up the streams.
func (c *Client) open(ctx context.Context) (*archive, error) {
	a := &archive{Client: c, names: c.subjects.Streams(), consumers: map[string]*jetstream.ConsumerInfo{}, given: map[string]map[uint64]verdict{}}
	for _, s := range []struct {
		stream *jetstream.Stream
		name   string
	}{{&a.jobs, a.names.Jobs}, {&a.results, a.names.Results}, {&a.dead, a.names.Dead}} {
		var err error
		if *s.stream, err = c.stream(ctx, s.name); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// job finds one job. A hive publishes the result before it says that it is done with the job, so whoever looks into the queue
// first and then at the results finds the job in one of them.
func (a *archive) job(ctx context.Context, hive, id string) (QueuedJob, error) {
	waits, err := last(ctx, a.jobs, a.subjects.Queued(hive, "", id))
	if err != nil {
		return QueuedJob{}, fmt.Errorf("look for job %s: %w", id, err)
	}
	answer, err := last(ctx, a.results, a.subjects.Result(hive, id))
	if err != nil {
		return QueuedJob{}, fmt.Errorf("look for job %s: %w", id, err)
	}
	trace, err := last(ctx, a.dead, a.subjects.Trace(hive, id, ""))
	if err != nil {
		return QueuedJob{}, fmt.Errorf("look for job %s: %w", id, err)
	}
	var job QueuedJob
	if trace != nil {
		job = a.traced(trace)
	}
	var answered QueuedJob
	if answer != nil {
		answered = a.answered(answer)
	}
	// A failure that may pass is no outcome of a job that is still to be tried.
	switch {
	case answer != nil && !(waits != nil && answered.passing):
		return answered.since(job), nil
	case waits != nil:
		job, err = a.queued(ctx, waits)
		job.Job = waits.Data
		return job, err
	case trace != nil:
		return a.lost(ctx, job, trace)
	}
	return QueuedJob{}, &JobNotFoundError{HiveID: hive, JobID: id}
}

// since adds to what an answer says what was known before it.
func (j QueuedJob) since(before QueuedJob) QueuedJob {
	if before.HiveID != j.HiveID {
		return j
	}
	j.Job, j.QueuedAt, j.Operation = before.Job, before.QueuedAt, cmp.Or(before.Operation, j.Operation)
	return j
}

// words returns the words of a subject behind the prefix and the first word.
func (a *archive) words(subject string) []string {
	return strings.Split(strings.TrimPrefix(subject, a.subjects.Prefix()+"."), ".")[1:]
}

// queued reads a message of the queue: it waits, runs, or is dead.
func (a *archive) queued(ctx context.Context, msg *jetstream.RawStreamMsg) (QueuedJob, error) {
	words := a.words(msg.Subject)
	if len(words) != 3 {
		return QueuedJob{}, fmt.Errorf("read stream %s: %s is no subject of a job", a.names.Jobs, msg.Subject)
	}
	job := QueuedJob{
		HiveID: words[0], Operation: messages.Operation(words[1]), JobID: words[2], State: JobWaiting, QueuedAt: msg.Time, sequence: msg.Sequence,
	}
	consumer, err := a.consumer(ctx, job.HiveID)
	if err != nil || consumer == nil || msg.Sequence > consumer.Delivered.Stream {
		return job, err
	}
	job.State = JobRunning
	// One that its hive gave up has left the queue; one that was given out too often has not.
	verdicts, err := a.verdicts(ctx, a.names.Exhausted(job.HiveID))
	if v, dead := verdicts[msg.Sequence]; dead {
		job.condemn(v)
	}
	return job, err
}

// answered reads a message of the results.
func (a *archive) answered(msg *jetstream.RawStreamMsg) QueuedJob {
	words := a.words(msg.Subject)
	job := QueuedJob{HiveID: words[0], JobID: words[len(words)-1], State: JobDone, EndedAt: msg.Time, Answer: msg.Data}
	var answer struct {
		Err       *messages.Error `json:"error"`
		Model     string          `json:"model"`
		Processes int             `json:"processes"`
	}
	err := json.Unmarshal(msg.Data, &answer)
	switch {
	case repeated(msg.Header):
		job.State, job.Reason, job.Answer = JobFailed, "its result came from another stream, so that it is not its hive's word", nil
	case err != nil:
		job.State, job.Reason, job.Answer = JobFailed, "its result cannot be read: "+err.Error(), nil
	case answer.Err != nil:
		job.State, job.passing = JobFailed, answer.Err.Retryable
	case answer.Model != "":
		job.Operation = messages.WorkerSpawn
	case answer.Processes > 0:
		job.Operation = messages.WorkerDelete
	}
	return job
}

// traced reads a trace.
func (a *archive) traced(msg *jetstream.RawStreamMsg) QueuedJob {
	words := a.words(msg.Subject)
	job := QueuedJob{HiveID: words[0], JobID: words[1], State: JobGone, QueuedAt: msg.Time}
	job.sequence, _ = strconv.ParseUint(msg.Header.Get(headerSequence), 10, 64)
	var asked struct {
		Operation messages.Operation `json:"operation"`
	}
	if json.Unmarshal(msg.Data, &asked) == nil {
		job.Job, job.Operation = msg.Data, asked.Operation
	}
	if messages.Trace(words[len(words)-1]) == messages.TraceCancelled {
		job.State, job.EndedAt, job.QueuedAt = JobCancelled, msg.Time, time.Time{}
	}
	return job
}

// lost finds out why a job that left a trace is in no other stream.
func (a *archive) lost(ctx context.Context, job QueuedJob, trace *jetstream.RawStreamMsg) (QueuedJob, error) {
	if job.State == JobCancelled {
		return job, nil
	}
	for _, subject := range []string{a.names.Exhausted(job.HiveID), a.names.Terminated(job.HiveID)} {
		verdicts, err := a.verdicts(ctx, subject)
		if err != nil {
			return job, err
		}
		if v, dead := verdicts[job.sequence]; dead {
			job.condemn(v)
			return job, nil
		}
	}
	var asked struct {
		Deadline time.Time `json:"deadline"`
	}
	_ = json.Unmarshal(trace.Data, &asked) // what is no job has no deadline
	age := a.jobs.CachedInfo().Config.MaxAge
	if now := time.Now(); !asked.Deadline.IsZero() && now.After(asked.Deadline) || age > 0 && now.Sub(trace.Time) > age {
		job.State = JobExpired
	}
	return job, nil
}

// condemn makes the job one that the server gave up.
func (j *QueuedJob) condemn(v verdict) {
	j.State, j.Attempts, j.Reason, j.EndedAt = JobDead, v.Deliveries, v.Reason, v.at
}

// verdict is what the server says of a job that it gave up.
type verdict struct {
	Sequence   uint64 `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
	Reason     string `json:"reason"`
	at         time.Time
}

// consumer returns how far a hive is with its queue; nil if it never had one.
func (a *archive) consumer(ctx context.Context, hive string) (*jetstream.ConsumerInfo, error) {
	if info, known := a.consumers[hive]; known {
		return info, nil
	}
	var info *jetstream.ConsumerInfo
	consumer, err := a.jobs.Consumer(ctx, a.names.Consumer(hive))
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrConsumerDoesNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at the queue of hive %s: %w", hive, err)
	default:
		info = consumer.CachedInfo()
	}
	a.consumers[hive] = info
	return info, nil
}

// verdicts returns what the server said on a subject of jobs that it gave up, by their place in the queue.
func (a *archive) verdicts(ctx context.Context, subject string) (map[uint64]verdict, error) {
	if verdicts, known := a.given[subject]; known {
		return verdicts, nil
	}
	verdicts := map[uint64]verdict{}
	for seq := uint64(1); ; {
		msg, err := next(ctx, a.dead, seq, subject)
		if err != nil {
			return nil, fmt.Errorf("look for dead jobs: %w", err)
		}
		if msg == nil {
			break
		}
		v := verdict{at: msg.Time}
		if json.Unmarshal(msg.Data, &v) == nil {
			verdicts[v.Sequence] = v
		}
		seq = msg.Sequence + 1
	}
	a.given[subject] = verdicts
	return verdicts, nil
}

// headerStream is what the server adds to a message that it repeats: the stream that it is from.
const headerStream = "Nats-Stream"

// repeated reports whether a message was not published by whoever speaks on its subject but came out of a stream: whoever may read a
// stream may have the server repeat a message of it on any subject. A stream that holds it says so once more.
func repeated(header nats.Header) bool { return len(header[headerStream]) > 0 }

// last returns the last message on a subject, as it was published; nil if there is none.
func last(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err == nil && stream.CachedInfo().Config.AllowDirect && len(msg.Header[headerStream]) > 0:
		msg.Header[headerStream] = msg.Header[headerStream][1:] // what this very get added
	}
	return msg, err
}

// next returns the first message on a subject from a place on; nil if there is none.
func next(ctx context.Context, stream jetstream.Stream, seq uint64, subject string) (*jetstream.RawStreamMsg, error) {
	msg, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return msg, err
}
