package spawner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/devtree"
)

// Waiting is told that a job does nothing but wait. What it returns is called before the job goes on, and waits until it may, or
// until ctx ends; the error is ctx's cause then.
type Waiting = func() (goOn func(ctx context.Context) error)

// slot is a job's part of what this machine does at once.
type slot struct {
	waiting Waiting
	goOn    func(ctx context.Context) error // nil while the job has it
}

func (s *slot) giveBack() { s.goOn = s.waiting() }

// takeAgain waits for a slot unless the job has one. The error is ctx's cause.
func (s *slot) takeAgain(ctx context.Context) error {
	if s.goOn == nil {
		return nil
	}
	err := s.goOn(ctx)
	if err == nil {
		s.goOn = nil
	}
	return err
}

// builds are the jobs whose workers are being built, by worker. The zero value is ready to be used.
type builds struct {
	mu   sync.Mutex
	jobs map[string]*building
}

// building is one job whose worker is being built.
type building struct {
	job  messages.Job
	done chan struct{} // closed when its start has come to an end, or it failed before
	err  error         // why it was not built; read it once done is closed
}

// begin says that the job, which holds the claim of its worker, waits for a build. It may say so again.
func (b *builds) begin(job messages.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.jobs[job.WorkerID] != nil {
		return
	}
	if b.jobs == nil {
		b.jobs = make(map[string]*building)
	}
	b.jobs[job.WorkerID] = &building{job: job, done: make(chan struct{})}
}

// failed says why the job's worker was not built.
func (b *builds) failed(job messages.Job, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.jobs[job.WorkerID]; at != nil && at.job.JobID == job.JobID {
		at.err = err
	}
}

// end says that the job holds its claim no longer than it takes to let go of it. Whoever was started by it may have ended long before the
// job does, and another job may have the claim.
func (b *builds) end(job messages.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.jobs[job.WorkerID]; at != nil && at.job.JobID == job.JobID {
		delete(b.jobs, job.WorkerID)
		close(at.done)
	}
}

func (b *builds) of(job messages.Job) *building {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.jobs[job.WorkerID]
}

// awaitBuild waits, if the same job has its worker built at this moment, until that job has come to its end, and reports whether it
// waited. The same job failed to compile then, too; all else the caller finds out as if it came now.
func (s *Spawner) awaitBuild(ctx context.Context, job messages.Job, tell story, slot *slot) (waited bool, err error) {
	at := s.builds.of(job)
	if at == nil || at.job.JobID != job.JobID || !at.job.SameSpec(job) {
		return false, nil
	}
	ctx, cancel := untilDeadline(ctx, job)
	defer cancel()
	slot.giveBack()
	tell.rebuild("", devtree.Step{Kind: devtree.Waiting, Text: "the same job has its worker built already"})
	select {
	case <-at.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil && errors.Is(at.err, messages.BuildFailed) {
		return true, at.err
	}
	if err == nil {
		err = slot.takeAgain(ctx)
	}
	switch {
	case errors.Is(err, errTooLate):
		return true, messages.Errorf(messages.DeadlineExceeded, "the deadline %s passed while the worker was built for the same job: give the job more time",
			job.Deadline.Format(time.RFC3339Nano))
	case err != nil:
		return true, draining("the build was cancelled")
	}
	return true, nil
}
