package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/internal/fault"
	"github.com/rbee-keeper/hive/messages"
)

// markerReason is the header of what the server leaves in the place of a message that expired, where its stream is told to.
const markerReason = "Nats-Marker-Reason"

// serveQueued takes a job of the queue to its end. Between each two steps the hive may be killed, and the job comes again:
//
//	serveQueued
//	├── readQueued   which job it is, and what it asks for
//	├── serve        as for a request, but
//	│   ├── recall   if the stream of results has its outcome, that is told again, and nothing runs
//	│   └── conclude
//	│       ├── retry    a failure that may pass: the job goes back for a while
//	│       ├── store    else its outcome goes to the stream of results, and
//	│       └── settle   only then the job is taken out of the queue
func (h *hive) serveQueued(ctx context.Context, src *source, msg *nats.Msg, p *place) {
	fault.Point("consumer-pulled")
	t := &task{arrived: time.Now(), place: p}
	delivery, err := h.newDelivery(src, msg)
	if err != nil {
		h.Logger.Error("message of the queue without its origin", "subject", msg.Subject, "err", err)
		p.end()
		return
	}
	t.queued = delivery
	defer delivery.keepAlive()()
	refused := h.readQueued(t, msg)
	if t.job.JobID == "" {
		h.bury(ctx, t, msg.Subject, refused)
		return
	}
	fault.Point("consumer-read")
	h.serve(ctx, t, refused)
}

// bury takes out of the queue what names no job, so that there is no subject for its result, or is none.
func (h *hive) bury(ctx context.Context, t *task, subject string, why error) {
	defer t.place.end()
	h.counts.refused.Add(1)
	if err := t.queued.terminate(ctx, messages.OneLine(why.Error())); err != nil {
		why = errors.Join(why, err)
	}
	h.Logger.Warn("queued message is no job; it is dropped", "subject", subject, "err", why)
}

// readQueued reads a job of the queue. Its subject says which job it is and what to do; the payload may leave that out, and must
// not say otherwise. If the subject names no job, or the message is none, t gets no id.
func (h *hive) readQueued(t *task, msg *nats.Msg) error {
	words := strings.Split(msg.Subject, ".")
	id, op := words[len(words)-1], messages.Operation(words[len(words)-2])
	if repeated(msg.Header, "") { // a result would be one of the job that it passes itself off as
		return messages.Errorf(messages.InvalidJob, "a stream repeated it, so that nobody knows who queued it")
	}
	if err := messages.CheckID(id); err != nil {
		return messages.Errorf(messages.InvalidJob, "job_id: on the subject: %w", err)
	}
	err := h.readQueuedBody(t, msg, op, id)
	t.job.JobID = id
	h.identify(t, op, err)
	if t.story == nil {
		t.story = h.story(t.job)
	}
	t.story.attempt = t.queued.attempt
	return err
}

func (h *hive) readQueuedBody(t *task, msg *nats.Msg, op messages.Operation, id string) error {
	if reason := msg.Header.Get(markerReason); reason != "" {
		return messages.Errorf(messages.DeadlineExceeded, "the job expired in the queue before its hive took it (%s)", reason)
	}
	if _, ok := h.answerer(op); ok {
		return messages.Errorf(messages.InvalidJob, "operation: %s is a question, and a question is not queued: ask it on %s", op, h.Subjects.Request(h.HiveID, op))
	}
	if err := h.read(t, msg.Data, op); err != nil {
		return err
	}
	if t.job.DryRun {
		return messages.Errorf(messages.InvalidJob, "dry_run: such a job is a question, and a question is not queued: ask it on %s", h.Subjects.Request(h.HiveID, op))
	}
	if named := t.job.JobID; named != "" && named != id {
		return messages.Errorf(messages.InvalidJob, "job_id: is %s on a subject for job %s", named, id)
	}
	return nil
}

// recall looks in the stream of results whether t was done before, by whichever way it was asked for. If so it says it again
// and reports true: nothing runs twice.
func (h *hive) recall(ctx context.Context, t *task, refused error) bool {
	if !h.queue.results.Load() {
		return false
	}
	if t.queued == nil {
		return refused == nil && t.named && h.recallRequest(ctx, t)
	}
	before, err := h.lookUpQueued(ctx, t)
	if errors.Is(err, errClosed) {
		h.refuse(ctx, t, h.draining())
		return true
	}
	if err != nil {
		h.refuse(ctx, t, passing("whether job %s was done before cannot be known now: %w", t.job.JobID, err))
		return true
	}
	if t.before = before; !before.final() {
		return false
	}
	h.repeat(ctx, t)
	return true
}

// passing is a failure of the hive that may pass.
func passing(format string, args ...any) *messages.Error {
	e := messages.Errorf(messages.Internal, format, args...)
	e.Retryable = true
	return e
}

// repeat tells the outcome of a queued job that was done before, and takes the job out of the queue.
func (h *hive) repeat(ctx context.Context, t *task) {
	took := time.Since(t.arrived)
	t.tellReplayed()
	switch {
	case t.before.failure != nil:
		h.counts.failed.Add(1)
		t.story.fail(t.before.failure, took, h.maxPayload())
	case t.deletes():
		h.counts.succeeded.Add(1)
		deleted, _ := messages.DecodeDeleted(t.before.data) // of another operation only its ids
		t.story.deleted(deleted)
	default:
		h.counts.succeeded.Add(1)
		t.story.complete(t.before.result, took)
	}
	t.ended = true
	fault.Point("consumer-repeated")
	h.settle(ctx, t)
	h.Logger.Info("queued job was done before", "job", t.job.JobID, "worker", t.job.WorkerID, "attempt", t.queued.attempt, "at", t.before.at)
}

// tellReplayed tells that t repeats what the stream of results holds. A delete has no word for it.
func (t *task) tellReplayed() {
	if t.deletes() {
		return
	}
	human := fmt.Sprintf("Job '%s' was done already at %s", t.job.JobID, t.before.at.Format(time.RFC3339))
	if r := t.before.result; t.before.failure == nil {
		human = fmt.Sprintf("Worker '%s' was started already at %s (PID: %d, port: %d)", r.WorkerID, r.StartedAt.Format(time.RFC3339), r.PID, r.Port)
	}
	t.story.tell(messages.Event{
		Action: messages.ActionSpawnReplayed, Human: human, Attempt: max(2, t.story.attempt), WorkerID: t.before.result.WorkerID,
		Fields: messages.Fields{PID: t.before.result.PID, Port: t.before.result.Port, LogPath: t.before.result.LogPath},
	})
}

// recallRequest answers a request for a worker that was started before and of which this machine knows nothing any more. What it
// still knows, the Spawner answers. A stream that does not answer stops no request.
func (h *hive) recallRequest(ctx context.Context, t *task) bool {
	before, err := h.lookUp(ctx, t.job.JobID)
	if err != nil {
		h.Logger.Debug("request runs without a look at the stream of results", "job", t.job.JobID, "err", err)
		return false
	}
	t.before = before
	if t.deletes() || !before.started() || h.knows(ctx, t) {
		return false
	}
	t.tellReplayed()
	switch r := before.result; {
	case before.failure != nil:
		h.fail(ctx, t, before.failure)
	case r.Model != t.job.Model || r.Device != t.job.Device:
		h.fail(ctx, t, messages.Errorf(messages.WorkerConflict,
			"job %s came before with other values, for model %s on device %s; use another job_id or the same values", t.job.JobID, r.Model, r.Device))
	default:
		r.Replayed, r.Ended = true, true
		h.complete(ctx, t, r)
	}
	return true
}

// knows reports whether this machine knows that the job of t started a worker, or that the worker runs which the job was answered with: one
// that another job had started.
func (h *hive) knows(ctx context.Context, t *task) (known bool) {
	var err error
	defer func() { known = known && err == nil }()
	defer h.recovered(t.job, &err)
	answer, err := h.spawner.Get(ctx, messages.GetRequest{Operation: messages.WorkerGet, HiveID: h.HiveID, WorkerID: t.job.WorkerID})
	w := answer.Worker
	return err == nil && (w.JobID == t.job.JobID || w.PID != 0 && w.PID == t.before.result.PID && w.State != messages.StateExited)
}

// retry puts a queued job that failed for now back into the queue, and reports false if it did not: because it failed for good,
// or because this was its last attempt. Its failure is then its result.
func (h *hive) retry(ctx context.Context, t *task, e *messages.Error) bool {
	switch {
	case t.queued == nil || !e.Retryable:
		return false
	case t.queued.last:
		t.exhausted = fmt.Sprintf("attempts exhausted: %s", e.Code)
		return false
	}
	pause := pauseAfter(t.queued.attempt)
	if ctx.Err() != nil || e.Code == messages.HiveDraining {
		pause = 0 // another process of the hive may take it at once
	}
	t.story.retry(e, pause)
	t.ended = true
	fault.Point("consumer-retried")
	err := t.queued.putBack(pause)
	fault.Point("consumer-returned")
	h.Logger.Info("queued job put back", "job", t.job.JobID, "worker", t.job.WorkerID, "attempt", t.queued.attempt, "pause", pause, "why", e, "err", err)
	return true
}

// deliver stores the outcome of a queued job, and takes it out of the queue once that is done. If it cannot be stored, the job
// stays in the queue and comes again; what it started is found then.
func (h *hive) deliver(ctx context.Context, t *task, msg *nats.Msg) {
	t.place.release()
	fault.Point("consumer-told")
	if err := h.store(ctx, t, msg); err != nil {
		h.Logger.Error("result of a queued job not stored; the job comes again", "job", t.job.JobID, "worker", t.job.WorkerID,
			"attempt", t.queued.attempt, "err", err)
		return
	}
	fault.Point("consumer-stored")
	h.settle(ctx, t)
}

// settle takes the job out of the queue. If the server does not confirm that, the job comes again and its outcome is repeated.
func (h *hive) settle(ctx context.Context, t *task) {
	err := error(nil)
	if t.exhausted != "" {
		err = t.queued.terminate(ctx, t.exhausted)
	} else {
		err = t.queued.ack(ctx)
	}
	if err != nil {
		h.Logger.Warn("end of a queued job not confirmed; if it comes again, its outcome is repeated", "job", t.job.JobID, "worker", t.job.WorkerID, "err", err)
		return
	}
	fault.Point("consumer-acked")
}
