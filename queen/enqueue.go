package queen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

const (
	// beyondDeadline is how long a job stays in the queue past its deadline. A hive that comes meanwhile refuses it, which is a
	// result; later the server drops it, and what is left is its trace.
	beyondDeadline = time.Minute
	// publishWait bounds the wait for the server to take a job when the caller's context has no deadline.
	publishWait = 10 * time.Second
	// headerSequence carries, on the trace of a job, its place in the queue, by which the server's advisories name it.
	headerSequence = "Rbee-Sequence"
)

// What the server says of a message that it cannot store (errors.json of nats-server): one number for every cause, which
// stands only in the text.
const (
	codeNotStored     jetstream.ErrorCode = 10077
	codeNoTTL         jetstream.ErrorCode = 10166
	textSubjectTaken                      = "maximum messages per subject"
	textQueueFull                         = "maximum messages exceeded"
	textQueueFullSize                     = "maximum bytes exceeded"
)

// Receipt says that a job is in the queue: whatever happens to the queen or the hive, it will have an outcome.
type Receipt struct {
	// HiveID is the hive that it waits for.
	HiveID string `json:"hive_id"`
	// JobID is what to ask for it with.
	JobID string `json:"job_id"`
	// Operation is what it asks for.
	Operation messages.Operation `json:"operation"`
	// Sequence is its place in the queue.
	Sequence uint64 `json:"sequence"`
}

// DuplicateError says that a job with this id is there already, so that nothing was queued. Its outcome is that of the first:
// see [Client.Await].
type DuplicateError struct {
	// Job is what is known of the first.
	Job QueuedJob
}

// Error says what became of the first.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("job %s of hive %s was queued before and is %s: nothing was added; take another job id for another job", e.Job.JobID, e.Job.HiveID, e.Job.State)
}

// QueueFullError says that no more jobs can wait. Nothing was queued.
type QueueFullError struct {
	// Stream is the work queue.
	Stream string
	// Err is what the server says.
	Err error
}

// Error says what to do.
func (e *QueueFullError) Error() string {
	return fmt.Sprintf("the queue %s is full (%v): try again when hives have taken jobs, or look what waits (`rbee jobs ls`)", e.Stream, e.Err)
}

// Unwrap returns Err.
func (e *QueueFullError) Unwrap() error { return e.Err }

// Enqueue puts a job into the work queue, where it waits until its hive has run it, also while the hive is away or the server
// restarts. When it returns without an error, the server has stored the job. Use [Client.Await] for what becomes of it.
//
// Job needs only a model and a device, and gets a fresh id if it has none. A job with a deadline is refused by the hive once that
// has passed, with a result. If no hive comes within a minute after it, the server drops the job, and [Client.Job] tells that it
// has expired. The deadline of ctx bounds the queueing alone.
//
// The error is a [*messages.Error] if the job is not valid; a [*DuplicateError] if one with this id waits, or was queued within
// two minutes; a [*QueueFullError]; and wraps [jetstream.ErrStreamNotFound] or [jetstream.ErrJetStreamNotEnabled], with what to do,
// where there is no queue. With any other error the job may be in the queue or not: Enqueue the same job id again to find out.
func (c *Client) Enqueue(ctx context.Context, hive string, job messages.Job) (Receipt, error) {
	deadline := job.Deadline
	if err := address(ctx, hive, &job.HiveID, &job.JobID, &job.Deadline); err != nil {
		return Receipt{}, err
	}
	if job.DryRun {
		return Receipt{}, errDryRun
	}
	job.Deadline = deadline // the caller does not wait, so that of ctx is none of the job's
	job.Operation = cmp.Or(job.Operation, messages.WorkerSpawn)
	payload, err := job.Encode()
	if err != nil {
		return Receipt{}, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, publishWait)
		defer cancel()
	}
	receipt := Receipt{HiveID: hive, JobID: job.JobID, Operation: job.Operation}
	ack, err := c.queue(ctx, receipt, payload, job.Deadline)
	if err != nil {
		return Receipt{}, err
	}
	receipt.Sequence = ack.Sequence
	if ack.Duplicate {
		return Receipt{}, c.duplicate(ctx, receipt)
	}
	c.trace(ctx, receipt, messages.TraceQueued, payload)
	return receipt, nil
}

// queue stores a job and turns what the server says against it into what a user must know.
func (c *Client) queue(ctx context.Context, r Receipt, payload []byte, deadline time.Time) (*jetstream.PubAck, error) {
	stream := c.subjects.Streams().Jobs
	msg := &nats.Msg{Subject: c.subjects.Queued(r.HiveID, r.Operation, r.JobID), Data: payload}
	opts := []jetstream.PublishOpt{jetstream.WithMsgID(r.HiveID + "/" + r.JobID), jetstream.WithExpectStream(stream)}
	withTTL := opts
	if !deadline.IsZero() {
		// Whole seconds are what the server counts. A deadline that has passed is for the hive to refuse.
		ttl := (max(time.Until(deadline), 0) + beyondDeadline).Round(time.Second)
		withTTL = append(opts[:len(opts):len(opts)], jetstream.WithMsgTTL(ttl))
	}
	before := c.nc.LastError()
	ack, err := c.js.PublishMsg(ctx, msg, withTTL...)
	refusal, refused := errors.AsType[*jetstream.APIError](err)
	if refused && refusal.ErrorCode == codeNoTTL { // a stream that somebody else made: the job then waits as long as any
		msg.Header = nil
		ack, err = c.js.PublishMsg(ctx, msg, opts...)
		refusal, refused = errors.AsType[*jetstream.APIError](err)
	}
	switch {
	case err == nil:
		return ack, nil
	case refused && refusal.ErrorCode == codeNotStored && strings.Contains(refusal.Description, textSubjectTaken):
		return nil, c.duplicate(ctx, r)
	case refused && refusal.ErrorCode == codeNotStored && (strings.Contains(refusal.Description, textQueueFull) || strings.Contains(refusal.Description, textQueueFullSize)):
		return nil, &QueueFullError{Stream: stream, Err: refusal}
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return nil, fmt.Errorf("queue job %s: %w", r.JobID, c.noQueue(ctx, err))
	}
	if denied := c.refused(msg.Subject, before); denied != nil {
		err = denied
	}
	return nil, fmt.Errorf("queue job %s for hive %s: %w", r.JobID, r.HiveID, err)
}

// noQueue finds out why no stream takes jobs.
func (c *Client) noQueue(ctx context.Context, err error) error {
	if _, why := c.stream(ctx, c.subjects.Streams().Jobs); why != nil {
		return why
	}
	return err
}

// duplicate tells what is known of the job that has the id already.
func (c *Client) duplicate(ctx context.Context, r Receipt) error {
	known, err := c.Job(ctx, r.HiveID, r.JobID)
	if err != nil { // that it is there is certain; the rest is help
		known = QueuedJob{JobID: r.JobID, HiveID: r.HiveID, Operation: r.Operation, State: JobWaiting}
	}
	return &DuplicateError{Job: known}
}

// trace leaves word of a job for whoever asks after it has left the queue. That is help, and its failure no failure of the job.
// When it returns, the server has taken the trace.
func (c *Client) trace(ctx context.Context, r Receipt, what messages.Trace, payload []byte) {
	msg := nats.NewMsg(c.subjects.Trace(r.HiveID, r.JobID, what))
	msg.Header.Set(headerSequence, strconv.FormatUint(r.Sequence, 10))
	msg.Data = payload
	if c.nc.PublishMsg(msg) == nil {
		_ = c.nc.FlushWithContext(ctx)
	}
}
