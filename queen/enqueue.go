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
	codeInProcess     jetstream.ErrorCode = 10158 // a replicated stream has the same message in hand and may yet store it
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
// where there is no queue; wraps [jetstream.ErrNoStreamResponse] if nobody takes jobs at the moment, as while a cluster chooses a leader;
// and is an [*UnsureError], with the job's id, if the job may be in the queue or not: Enqueue the same job id again to find out. Any
// error but that one means that nothing was queued.
func (c *Client) Enqueue(ctx context.Context, hive string, job messages.Job) (Receipt, error) {
	if err := addressQueued(hive, &job.HiveID, &job.JobID); err != nil {
		return Receipt{}, err
	}
	if job.DryRun {
		return Receipt{}, errDryRun
	}
	job.Operation = cmp.Or(job.Operation, messages.WorkerSpawn)
	payload, err := job.Encode()
	if err != nil {
		return Receipt{}, err
	}
	return c.enqueue(ctx, Receipt{HiveID: hive, JobID: job.JobID, Operation: job.Operation}, payload, job.Deadline)
}

// EnqueueDelete is [Client.Enqueue] for a job that ends a worker, which its hive does when it comes to it. Give it the worker's PID: the
// job may wait for long, and without one it would end whatever worker has the id by then. Use [Client.AwaitDelete] for what becomes of it.
func (c *Client) EnqueueDelete(ctx context.Context, hive string, job messages.DeleteJob) (Receipt, error) {
	if err := addressQueued(hive, &job.HiveID, &job.JobID); err != nil {
		return Receipt{}, err
	}
	job.Operation = messages.WorkerDelete
	payload, err := job.Encode()
	if err != nil {
		return Receipt{}, err
	}
	return c.enqueue(ctx, Receipt{HiveID: hive, JobID: job.JobID, Operation: job.Operation}, payload, job.Deadline)
}

// addressQueued fills in what the caller of a queued job may leave out. The caller does not wait, so how long it would is none of the
// job's.
func addressQueued(hive string, hiveID, jobID *string) error {
	var deadline time.Time
	return address(context.Background(), hive, hiveID, jobID, &deadline)
}

// enqueue queues a job and leaves its trace.
func (c *Client) enqueue(ctx context.Context, receipt Receipt, payload []byte, deadline time.Time) (Receipt, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, publishWait)
		defer cancel()
	}
	ack, err := c.queue(ctx, receipt, payload, deadline)
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
	unsent := fmt.Sprintf("queue job %s for hive %s", r.JobID, r.HiveID)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", unsent, ctx.Err())
	case c.nc.IsClosed():
		return nil, fmt.Errorf("%s: %w", unsent, nats.ErrConnectionClosed)
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
	denied := c.refused(msg.Subject, before)
	switch {
	case denied != nil:
		return nil, fmt.Errorf("%s: %w", unsent, c.forbidden(msg.Subject, denied))
	case refused && refusal.ErrorCode != codeInProcess, errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrReconnectBufExceeded):
		return nil, fmt.Errorf("%s: %w", unsent, err)
	}
	return nil, &UnsureError{HiveID: r.HiveID, JobID: r.JobID, Err: err}
}

// noQueue finds out why no stream takes jobs. One that is there and has nobody to answer for it is that of a cluster that chooses a leader,
// or of a server that has just started.
func (c *Client) noQueue(ctx context.Context, err error) error {
	stream := c.subjects.Streams().Jobs
	if _, why := c.stream(ctx, stream); why != nil && (!passing(why) || errors.Is(why, jetstream.ErrJetStreamNotEnabled)) {
		return why
	}
	return fmt.Errorf("no server answers for stream %s at the moment, so nothing was queued: try again (%w)", stream, err)
}

// duplicate tells what is known of the job that has the id already.
func (c *Client) duplicate(ctx context.Context, r Receipt) error {
	known, err := c.Job(ctx, r.HiveID, r.JobID)
	if err != nil { // that it is there is certain; the rest is help
		known = QueuedJob{JobID: r.JobID, HiveID: r.HiveID, Operation: r.Operation, State: JobWaiting}
	}
	return &DuplicateError{Job: known}
}

// traceTime bounds how long anybody waits for a trace: a stream without a leader does not answer.
const traceTime = time.Second

// trace leaves word of a job for whoever asks after it has left the queue. That is help, and its failure no failure of the job.
// When it returns, the stream has the trace, if there is one that can take it.
func (c *Client) trace(ctx context.Context, r Receipt, what messages.Trace, payload []byte) {
	ctx, cancel := context.WithTimeout(ctx, traceTime)
	defer cancel()
	msg := nats.NewMsg(c.subjects.Trace(r.HiveID, r.JobID, what))
	msg.Header.Set(headerSequence, strconv.FormatUint(r.Sequence, 10))
	msg.Data = payload
	_, _ = c.nc.RequestMsgWithContext(ctx, msg)
}
