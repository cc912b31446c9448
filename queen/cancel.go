package queen

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// TooLateError says that a job was not cancelled because it is no longer waiting.
type TooLateError struct {
	// Job is what is known of it.
	Job QueuedJob
	// Unsure says that it was taken out of the queue in the very moment in which its hive may have been given it: then it runs,
	// and tells so, or nobody has seen it.
	Unsure bool
}

// Error says what to do instead.
func (e *TooLateError) Error() string {
	job := e.Job
	switch {
	case e.Unsure:
		return fmt.Sprintf("job %s was taken out of the queue, but hive %s may have been given it in the same moment: if it was, `rbee jobs get %s` tells its result",
			job.JobID, job.HiveID, job.JobID)
	case job.State == JobRunning && job.Operation == messages.WorkerDelete:
		return fmt.Sprintf("job %s is not cancelled: hive %s has it already, and ends its worker", job.JobID, job.HiveID)
	case job.State == JobDone && job.Operation == messages.WorkerDelete:
		return fmt.Sprintf("job %s is not cancelled: it is done, and its worker has ended", job.JobID)
	case job.State == JobRunning:
		return fmt.Sprintf("job %s is not cancelled: hive %s has it already; wait for its result, and end its worker with `rbee workers rm`", job.JobID, job.HiveID)
	case job.State == JobDone:
		return fmt.Sprintf("job %s is not cancelled: it is done; end its worker with `rbee workers rm`", job.JobID)
	}
	return fmt.Sprintf("job %s is not cancelled: it is %s already", job.JobID, job.State)
}

// Cancel takes a job that waits out of the queue. When it returns nil, the job has not run and never will, and [Client.Job] tells that it
// was cancelled. hive may be empty: then any hive's. It leaves no result: only a hive says what came of a job.
//
// The error is a [*TooLateError] if the job was not waiting any more; its Unsure tells the one case in which nobody knows. Otherwise it
// is that of [Client.Job].
func (c *Client) Cancel(ctx context.Context, hive, id string) (QueuedJob, error) {
	job, err := c.Job(ctx, hive, id)
	if err != nil {
		return job, err
	}
	if job.State != JobWaiting {
		return job, &TooLateError{Job: job}
	}
	a, err := c.open(ctx)
	if err != nil {
		return job, err
	}
	switch err := a.jobs.DeleteMsg(ctx, job.sequence); {
	case errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful): // it was run meanwhile, or cancelled by somebody else
		now, lookErr := c.Job(ctx, job.HiveID, id)
		if lookErr != nil || now.State == JobWaiting {
			return job, fmt.Errorf("cancel job %s: %w", id, cmp.Or(lookErr, err))
		}
		return now, &TooLateError{Job: now}
	case err != nil:
		return job, fmt.Errorf("cancel job %s: %w", id, err)
	}
	// The server hands jobs out in order and counts how far it is before it sends one. So one behind that place, seen after
	// the job was deleted, proves that it was never sent.
	consumer, err := a.consumer(ctx, job.HiveID)
	if err != nil {
		return job, &TooLateError{Job: job, Unsure: true}
	}
	if consumer != nil && consumer.Delivered.Stream >= job.sequence {
		job.State = JobRunning
		return job, &TooLateError{Job: job, Unsure: true}
	}
	job.State, job.EndedAt = JobCancelled, time.Now().UTC()
	c.trace(ctx, Receipt{HiveID: job.HiveID, JobID: job.JobID, Operation: job.Operation, Sequence: job.sequence}, messages.TraceCancelled, job.Job)
	return job, nil
}

// NoRetryError says that a job cannot be tried again.
type NoRetryError struct {
	// Job is what is known of it.
	Job QueuedJob
	// Unknown says that it ended, but that what was asked is not known any more, or never was: it came by request.
	Unknown bool
}

// Error says what to do instead.
func (e *NoRetryError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("job %s cannot be tried again: what it asked for is not known (it came by request, or was not queued by rbee); queue a new one", e.Job.JobID)
	}
	if e.Job.State == JobDone {
		return fmt.Sprintf("job %s is not tried again: it is done; queue a new job for another worker", e.Job.JobID)
	}
	return fmt.Sprintf("job %s is not tried again: it is %s; wait for it", e.Job.JobID, e.Job.State)
}

// Retry queues what a job asked for again, as a job with a fresh id, because the old one's outcome is final. It takes those that
// failed, are dead, were cancelled, or have expired. A deadline that has passed becomes one as far away as it was when the
// job was queued. A dead job that is still in the way in the queue is taken out of it. hive may be empty: then any hive's.
//
// The error is a [*NoRetryError], or that of [Client.Job] or [Client.Enqueue].
func (c *Client) Retry(ctx context.Context, hive, id string) (Receipt, error) {
	old, err := c.Job(ctx, hive, id)
	if err != nil {
		return Receipt{}, err
	}
	if !old.State.Ended() || old.State == JobDone {
		return Receipt{}, &NoRetryError{Job: old}
	}
	// What a job asked for is stored beside it, and nobody waited for that: it may come a moment later than the end of the job.
	for tries := 0; old.Job == nil && tries < 5; tries++ {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return Receipt{}, err
		}
		if old, err = c.Job(ctx, hive, id); err != nil {
			return Receipt{}, err
		}
	}
	receipt, err := c.again(ctx, old)
	if err != nil {
		return Receipt{}, err
	}
	if old.State == JobDead {
		c.bury(ctx, old)
	}
	return receipt, nil
}

// again queues what an ended job asked for as a new job.
func (c *Client) again(ctx context.Context, old QueuedJob) (Receipt, error) {
	var (
		spawn messages.Job
		del   messages.DeleteJob
	)
	switch {
	case old.Job == nil:
	case old.Operation == messages.WorkerSpawn && json.Unmarshal(old.Job, &spawn) == nil:
		spawn.JobID, spawn.HiveID, spawn.Deadline = messages.NewJobID(), old.HiveID, old.laterThan(spawn.Deadline)
		return c.Enqueue(ctx, old.HiveID, spawn)
	case old.Operation == messages.WorkerDelete && json.Unmarshal(old.Job, &del) == nil:
		del.JobID, del.HiveID, del.Deadline = messages.NewJobID(), old.HiveID, old.laterThan(del.Deadline)
		return c.EnqueueDelete(ctx, old.HiveID, del)
	}
	return Receipt{}, &NoRetryError{Job: old, Unknown: true}
}

// laterThan returns the deadline of another try: the old one, and if that has passed, one as far away as it was when the job was queued.
func (j QueuedJob) laterThan(deadline time.Time) time.Time {
	now := time.Now()
	if deadline.IsZero() || !now.After(deadline) {
		return deadline
	}
	if span := deadline.Sub(j.QueuedAt); span > 0 && !j.QueuedAt.IsZero() {
		return now.Add(span).UTC()
	}
	return time.Time{}
}

// bury takes a dead job out of the queue, where it takes a place until it is too old. Its trace stays.
func (c *Client) bury(ctx context.Context, job QueuedJob) {
	if a, err := c.open(ctx); err == nil {
		_ = a.jobs.DeleteMsg(ctx, job.sequence) // it may have gone by itself
	}
}
