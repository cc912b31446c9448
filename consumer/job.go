package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/rbee-keeper/hive/internal/fault"
	"github.com/rbee-keeper/hive/messages"
)

// task is one message on the hive's subject that asks for an effect, from its arrival to its answer.
type task struct {
	job     messages.Job       // of a delete, what it has in common with a spawn
	del     messages.DeleteJob // of a delete
	arrived time.Time
	reply   string // where the caller waits; empty if nobody does
	story   *story // nil for an operation that is none: it has no effect and is only answered
	place   *place // nil if the job was refused before it came to the line
	named   bool   // whoever asked named the job
	ended   bool   // the answer is on its way
	began   bool   // its worker was started now, for the first time

	queued    *delivery // nil if the job came as a request
	exhausted string    // of a queued job: why it is given up, although it might succeed later
	before    outcome   // what the stream of results held of the job when it began
}

// deletes reports whether t is to end a worker, not to start one.
func (t *task) deletes() bool { return t.job.Operation == messages.WorkerDelete }

// accept reads a request and takes its place in line, so that jobs are served in the order of their arrival. The rest
// happens in a goroutine of its own, because the next request waits until accept returns.
func (h *hive) accept(ctx context.Context, req micro.Request) {
	if repeated(nats.Header(req.Headers()), req.Reply()) {
		h.Logger.Warn("request dropped: a stream repeats it, so nobody knows who sent it", "subject", req.Subject(), "reply", req.Reply())
		return
	}
	if h.astray(req.Reply()) {
		h.Logger.Warn("request dropped: nobody waits for an answer there", "subject", req.Subject(), "reply", req.Reply())
		return
	}
	op := h.Subjects.Operation(req.Subject())
	if answer, ok := h.answerer(op); ok {
		h.question(ctx, req, op, answer)
		return
	}
	t := &task{reply: req.Reply(), arrived: time.Now()}
	err := h.read(t, req.Data(), op)
	if err == nil && t.job.DryRun {
		h.question(ctx, req, op, h.explain)
		return
	}
	t.named = t.job.JobID != ""
	h.identify(t, op, err)
	if err == nil {
		t.place, err = h.join(t)
	}
	h.tasks.do(func() { h.serve(ctx, t, err) })
}

// join takes a place in line for t. Who ends a worker makes room and does not wait for it.
func (h *hive) join(t *task) (*place, error) {
	if t.deletes() {
		return h.line.pass()
	}
	return h.line.join()
}

// read decodes the job of t and checks that it is for this hive.
func (h *hive) read(t *task, data []byte, op messages.Operation) (err error) {
	defer h.recovered(t.job, &err)
	if op == messages.WorkerDelete {
		t.del, err = messages.DecodeDelete(data, op)
		t.job = messages.Job{JobID: t.del.JobID, HiveID: t.del.HiveID, WorkerID: t.del.WorkerID, Deadline: t.del.Deadline}
	} else {
		t.job, err = messages.DecodeJob(data, op)
	}
	if err == nil {
		err = h.isOurs(t.job.HiveID)
	}
	return err
}

// isOurs returns an error if a request names another hive.
func (h *hive) isOurs(hive string) error {
	if hive != "" && hive != h.HiveID {
		return messages.Errorf(messages.WrongHive, "hive_id: is %s on a subject of hive %s", hive, h.HiveID)
	}
	return nil
}

// identify gives the job the ids that it leaves open and begins its story. A job that was refused gets no worker.
func (h *hive) identify(t *task, op messages.Operation, refused error) {
	t.job.HiveID, t.job.Operation = h.HiveID, op
	if t.job.JobID == "" {
		t.job.JobID = messages.NewJobID()
	}
	if t.job.WorkerID == "" && refused == nil {
		t.job.WorkerID = messages.WorkerID(h.HiveID, t.job.JobID)
	}
	t.del.JobID, t.del.HiveID = t.job.JobID, h.HiveID
	if !errors.Is(refused, messages.UnknownOperation) {
		t.story = h.story(t.job)
	}
}

// serve takes t to its end, whatever happens on the way:
//
//	serve
//	├── turn        in line until a slot is free; the deadline is kept
//	├── recall      the outcome that the stream of results has of it, if there is one
//	├── run         the Spawner's work, its panics recovered
//	├── end story   worker_spawn_complete or worker_spawn_failed; of a delete, worker_delete_complete or _failed
//	└── answer      on the result's subject, then to the caller or, of a queued job, to the queue
func (h *hive) serve(ctx context.Context, t *task, refused error) {
	defer t.place.end()
	defer h.lastResort(ctx, t)
	if refused == nil {
		refused = t.turn()
	}
	if h.recall(ctx, t, refused) {
		return
	}
	if refused == nil {
		refused = t.late() // to look took a while
	}
	fault.Point("consumer-recalled")
	if errors.Is(refused, errLate) && (t.queued != nil || t.named) && h.knows(ctx, t) {
		refused = nil // it came in time, and once more because the hive was killed: its answer is what became of it
	}
	if refused != nil {
		h.refuse(ctx, t, h.refusal(t.job, refused))
		return
	}
	h.Logger.Debug("job starts", "job", t.job.JobID, "worker", t.job.WorkerID, "device", t.job.Device)
	if t.deletes() {
		h.serveDelete(ctx, t)
		return
	}
	result, err := h.spawn(ctx, t)
	fault.Point("consumer-spawned")
	t.place.release()
	if err != nil {
		h.fail(ctx, t, messages.AsError(err))
		return
	}
	h.complete(ctx, t, result)
}

// turn returns nil when it is the job's turn to start.
func (t *task) turn() error {
	until := t.job.Deadline
	if t.queued != nil {
		until = time.Time{} // it is the next in line, and needs its place even when it is late
	}
	if err := t.place.wait(until); err != nil {
		return err
	}
	return t.late()
}

// late returns errLate when the deadline has passed.
func (t *task) late() error {
	if deadline := t.job.Deadline; !deadline.IsZero() && !time.Now().Before(deadline) {
		return errLate
	}
	return nil
}

// spawn has the Spawner run the job. Whatever that does, what comes back is a result of this job or an error for its caller.
func (h *hive) spawn(ctx context.Context, t *task) (result messages.Result, err error) {
	defer h.recovered(t.job, &err)
	result, err = h.spawner.Spawn(ctx, t.job, t.story.tell, t.place.pause)
	if err != nil {
		failure := *messages.AsError(interrupted(ctx, err)) // a nil *Error panics here, where it is recovered
		return messages.Result{}, &failure
	}
	result.JobID, result.HiveID, result.WorkerID = t.job.JobID, h.HiveID, t.job.WorkerID
	return result, nil
}

// serveDelete has the Spawner end the worker of t, and tells and answers the outcome.
func (h *hive) serveDelete(ctx context.Context, t *task) {
	t.place.release() // who ends a worker makes room
	deleted, err := h.del(ctx, t)
	if err != nil {
		h.fail(ctx, t, messages.AsError(err))
		return
	}
	h.counts.succeeded.Add(1)
	t.story.deleted(deleted)
	data, err := deleted.Encode()
	if err != nil {
		h.answerFailure(ctx, t, messages.AsError(err))
		return
	}
	h.answer(ctx, t, h.header(t), data)
	h.Logger.Info("worker deleted", "job", deleted.JobID, "worker", deleted.WorkerID, "pid", deleted.PID, "signal", deleted.Signal,
		"processes", deleted.Processes, "took", time.Since(t.arrived))
}

func (h *hive) del(ctx context.Context, t *task) (deleted messages.Deleted, err error) {
	defer h.recovered(t.job, &err)
	deleted, err = h.spawner.Delete(ctx, t.del, t.story.tell)
	if err != nil {
		failure := *messages.AsError(interrupted(ctx, err)) // a nil *Error panics here, where it is recovered
		return messages.Deleted{}, &failure
	}
	deleted.JobID, deleted.HiveID, deleted.WorkerID = t.job.JobID, h.HiveID, t.job.WorkerID
	return deleted, nil
}

// interrupted returns why ctx ended if that is all that err says. Otherwise it returns err.
func interrupted(ctx context.Context, err error) error {
	if _, ours := errors.AsType[*messages.Error](err); !ours && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}

// recovered turns a panic into an error of the job, so that the hive goes on. It must be deferred itself.
func (h *hive) recovered(job messages.Job, err *error) {
	v := recover()
	if v == nil {
		return
	}
	h.Logger.Error("job panicked", "job", job.JobID, "worker", job.WorkerID, "panic", v, "stack", string(debug.Stack()))
	*err = messages.AsError(fmt.Errorf("the hive panicked: %v", v))
}

// lastResort answers a job whose handling itself panicked, as far as that still can be done, so that one job never ends the
// hive. It must be deferred itself.
func (h *hive) lastResort(ctx context.Context, t *task) {
	v := recover()
	if v == nil {
		return
	}
	h.Logger.Error("handling of a job panicked", "job", t.job.JobID, "worker", t.job.WorkerID, "panic", v, "stack", string(debug.Stack()))
	if t.ended {
		return
	}
	defer func() { _ = recover() }() // what panicked once may do so again
	h.fail(ctx, t, messages.Errorf(messages.Internal, "the hive panicked: %v", v))
}

// complete tells and answers that the worker runs.
func (h *hive) complete(ctx context.Context, t *task, r messages.Result) {
	h.counts.succeeded.Add(1)
	took := time.Since(t.arrived)
	t.story.complete(r, took)
	h.answerResult(ctx, t, r)
	h.Logger.Info("worker spawned", "job", r.JobID, "worker", r.WorkerID, "device", r.Device, "pid", r.PID, "port", r.Port,
		"replayed", r.Replayed, "took", took)
}

// fail tells and answers that the Spawner tried and could not.
func (h *hive) fail(ctx context.Context, t *task, e *messages.Error) {
	if h.retry(ctx, t, e) {
		return
	}
	h.counts.failed.Add(1)
	took := h.conclude(ctx, t, e)
	log := h.Logger.Info
	if e.Code == messages.Internal {
		log = h.Logger.Error // a person should look
	}
	log("job failed", "job", t.job.JobID, "worker", t.job.WorkerID, "device", t.job.Device, "err", e, "took", took)
}

// refuse tells and answers that the job never came to the Spawner.
func (h *hive) refuse(ctx context.Context, t *task, e *messages.Error) {
	if h.retry(ctx, t, e) {
		return
	}
	h.counts.refused.Add(1)
	took := h.conclude(ctx, t, e)
	h.Logger.Info("job refused", "job", t.job.JobID, "worker", t.job.WorkerID, "device", t.job.Device, "err", e, "took", took)
}

// conclude tells and answers e and returns how long t took.
func (h *hive) conclude(ctx context.Context, t *task, e *messages.Error) time.Duration {
	took := time.Since(t.arrived)
	if t.story != nil {
		t.story.fail(e, took, h.maxPayload())
	}
	h.answerFailure(ctx, t, e)
	return took
}
