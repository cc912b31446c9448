package queen

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// queued reads a message of the queue: it waits, runs, or is dead.
func (a *archive) queued(ctx context.Context, msg *jetstream.RawStreamMsg) (QueuedJob, error) {
	words := a.words(msg.Subject)
	if len(words) != 3 {
		return QueuedJob{}, fmt.Errorf("read stream %s: %s is no subject of a job", a.names.Jobs, msg.Subject)
	}
	job := QueuedJob{
		HiveID: words[0], Operation: messages.Operation(words[1]), JobID: words[2], State: JobWaiting, QueuedAt: msg.Time, sequence: msg.Sequence,
	}
	job.asks(msg.Data)
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
		JobID     string          `json:"job_id"`
		HiveID    string          `json:"hive_id"`
		Err       *messages.Error `json:"error"`
		Processes int             `json:"processes"`
		subject
	}
	err := json.Unmarshal(msg.Data, &answer)
	switch {
	case repeated(msg.Header):
		job.State, job.Reason, job.Answer = JobFailed, "its result came from another stream, so that it is not its hive's word", nil
	case err != nil:
		job.State, job.Reason, job.Answer = JobFailed, "its result cannot be read: "+err.Error(), nil
	case answer.JobID != job.JobID || answer.HiveID != job.HiveID:
		job.State, job.Answer = JobFailed, nil
		job.Reason = fmt.Sprintf("its result is one of job %q of hive %q", answer.JobID, answer.HiveID)
	case answer.Err != nil:
		job.State, job.passing = JobFailed, answer.Err.Retryable
	case answer.Model != "":
		answer.Operation = messages.WorkerSpawn
	case answer.Processes > 0:
		answer.Operation = messages.WorkerDelete
	}
	if job.Answer != nil {
		job.about(answer.subject)
	}
	return job
}

// traced reads a trace.
func (a *archive) traced(msg *jetstream.RawStreamMsg) QueuedJob {
	words := a.words(msg.Subject)
	job := QueuedJob{HiveID: words[0], JobID: words[1], State: JobGone, QueuedAt: msg.Time}
	job.sequence, _ = strconv.ParseUint(msg.Header.Get(headerSequence), 10, 64)
	if job.asks(msg.Data) {
		job.Job = msg.Data
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
