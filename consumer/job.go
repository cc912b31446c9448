package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/rbee-keeper/hive/messages"
)

// task is one message on the hive's subject, from its arrival to its answer.
type task struct {
	job     messages.Job
	arrived time.Time
	reply   string // where the caller waits; empty if nobody does
	story   *story // nil for an operation that is none: it has no effect and is only answered
	place   *place // nil if the job was refused before it came to the line
	ended   bool   // the answer is on its way
}

// accept reads a request and takes its place in line, so that jobs are served in the order of their arrival. The rest
// happens in a goroutine of its own, because the next request waits until accept returns.
func (h *hive) accept(ctx context.Context, req micro.Request) {
	t := &task{reply: req.Reply(), arrived: time.Now()}
	err := h.read(t, req)
	h.identify(t, err)
	if err == nil {
		t.place, err = h.line.join()
	}
	h.tasks.do(func() { h.serve(ctx, t, err) })
}

// read decodes the job of t and checks that it is for this hive.
func (h *hive) read(t *task, req micro.Request) (err error) {
	defer h.recovered(t, &err)
	if t.job, err = messages.DecodeJob(req.Data(), h.Subjects.Operation(req.Subject())); err != nil {
		return err
	}
	if t.job.HiveID != "" && t.job.HiveID != h.HiveID {
		return messages.Errorf(messages.WrongHive, "hive_id: is %s on a subject of hive %s", t.job.HiveID, h.HiveID)
	}
	return nil
}

// identify gives the job the ids that it leaves open and begins its story. A job that was refused gets no worker.
func (h *hive) identify(t *task, refused error) {
	t.job.HiveID = h.HiveID
	if t.job.JobID == "" {
		t.job.JobID = messages.NewJobID()
	}
	if t.job.WorkerID == "" && refused == nil {
		t.job.WorkerID = messages.WorkerID(h.HiveID, t.job.JobID)
	}
	if !errors.Is(refused, messages.UnknownOperation) {
		t.story = h.story(t.job)
	}
}

// serve takes t to its end, whatever happens on the way:
//
//	serve
//	├── turn        in line until a slot is free; the deadline is kept
//	├── spawn       the Spawner's work, its panics recovered
//	├── end story   worker_spawn_complete or worker_spawn_failed
//	└── answer      on the result's subject, then to the caller
func (h *hive) serve(ctx context.Context, t *task, refused error) {
	defer t.place.end()
	defer h.lastResort(t)
	if refused == nil {
		refused = t.turn()
	}
	if refused != nil {
		h.refuse(t, h.refusal(t.job, refused))
		return
	}
	h.Logger.Debug("job starts", "job", t.job.JobID, "worker", t.job.WorkerID, "device", t.job.Device)
	result, err := h.spawn(ctx, t)
	t.place.release()
	if err != nil {
		h.fail(t, messages.AsError(err))
		return
	}
	h.complete(t, result)
}

// turn returns nil when it is the job's turn to start.
func (t *task) turn() error {
	if err := t.place.wait(t.job.Deadline); err != nil {
		return err
	}
	if deadline := t.job.Deadline; !deadline.IsZero() && !time.Now().Before(deadline) {
		return errLate
	}
	return nil
}

// spawn has the Spawner run the job. Whatever that does, what comes back is a result of this job or an error for its caller.
func (h *hive) spawn(ctx context.Context, t *task) (result messages.Result, err error) {
	defer h.recovered(t, &err)
	result, err = h.spawner.Spawn(ctx, t.job, t.story.tell, t.place.release)
	if err != nil {
		failure := *messages.AsError(interrupted(ctx, err)) // a nil *Error panics here, where it is recovered
		return messages.Result{}, &failure
	}
	result.JobID, result.HiveID, result.WorkerID = t.job.JobID, h.HiveID, t.job.WorkerID
	return result, nil
}

// interrupted returns why ctx ended if that is all that err says. Otherwise it returns err.
func interrupted(ctx context.Context, err error) error {
	if _, ours := errors.AsType[*messages.Error](err); !ours && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}

// recovered turns a panic into an error of the job, so that the hive goes on. It must be deferred itself.
func (h *hive) recovered(t *task, err *error) {
	v := recover()
	if v == nil {
		return
	}
	h.Logger.Error("job panicked", "job", t.job.JobID, "worker", t.job.WorkerID, "panic", v, "stack", string(debug.Stack()))
	*err = messages.AsError(fmt.Errorf("the hive panicked: %v", v))
}

// lastResort answers a job whose handling itself panicked, as far as that still can be done, so that one job never ends the
// hive. It must be deferred itself.
func (h *hive) lastResort(t *task) {
	v := recover()
	if v == nil {
		return
	}
	h.Logger.Error("handling of a job panicked", "job", t.job.JobID, "worker", t.job.WorkerID, "panic", v, "stack", string(debug.Stack()))
	if t.ended {
		return
	}
	defer func() { _ = recover() }() // what panicked once may do so again
	h.fail(t, messages.Errorf(messages.Internal, "the hive panicked: %v", v))
}

// complete tells and answers that the worker runs.
func (h *hive) complete(t *task, r messages.Result) {
	h.counts.succeeded.Add(1)
	took := time.Since(t.arrived)
	t.story.complete(r, took)
	h.answerResult(t, r)
	h.Logger.Info("worker spawned", "job", r.JobID, "worker", r.WorkerID, "device", r.Device, "pid", r.PID, "port", r.Port,
		"replayed", r.Replayed, "took", took)
}

// fail tells and answers that the Spawner tried and failed.
func (h *hive) fail(t *task, e *messages.Error) {
	h.counts.failed.Add(1)
	took := h.conclude(t, e)
	log := h.Logger.Info
	if e.Code == messages.Internal {
		log = h.Logger.Error // a person should look
	}
	log("job failed", "job", t.job.JobID, "worker", t.job.WorkerID, "device", t.job.Device, "err", e, "took", took)
}

// refuse tells and answers that the job never came to the Spawner.
func (h *hive) refuse(t *task, e *messages.Error) {
	h.counts.refused.Add(1)
	took := h.conclude(t, e)
	h.Logger.Info("job refused", "job", t.job.JobID, "worker", t.job.WorkerID, "device", t.job.Device, "err", e, "took", took)
}

// conclude tells and answers e and returns how long t took.
func (h *hive) conclude(t *task, e *messages.Error) time.Duration {
	took := time.Since(t.arrived)
	if t.story != nil {
		t.story.fail(e, took, h.maxPayload())
	}
	h.answerFailure(t, e)
	return took
}
