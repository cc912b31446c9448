package spawner

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// deletes are the deletions under way, so that two jobs that delete one worker at once are one deletion: a second SIGTERM
// makes many servers give up what they were finishing. A worker that was started meanwhile under the same id is another one.
type deletes struct {
	mu    sync.Mutex
	under map[process.Identity]*deletion // by the worker's first process
}

// deletion is one end of a worker, for everyone who asked for it.
type deletion struct {
	done    chan struct{} // closed once deleted and err are set
	deleted messages.Deleted
	err     error

	hurry process.Hurry
	mu    sync.Mutex
	over  time.Time // when the grace is over; zero: nobody has said yet
	by    string    // the job that made it shorter; empty if none did
}

// Delete ends a worker and all its processes, tells each step to emit, and returns when nothing of it runs, its lock is free, and
// its port can be bound, or says who has that port. The job must be valid and carry its job and hive ids.
//
// The errors are [messages.WorkerNotFound] if there is nothing to end, [messages.WorkerConflict] if the worker has another
// process than the job names, [messages.HiveDraining] if ctx ends first, and [messages.Internal], with the process and its
// state, if one cannot be killed. Who deletes a worker that is being deleted gets the same answer, and if the job names a grace that is
// over before the one that passes, the worker has that long.
func (s *Spawner) Delete(ctx context.Context, job messages.DeleteJob, emit func(messages.Event)) (messages.Deleted, error) {
	tell := deleteStory{job: job, emit: emit}
	rec, err := s.findToDelete(job)
	if err != nil {
		return messages.Deleted{}, err
	}
	if job.PID != 0 && job.PID != rec.Process.PID {
		if !s.lives(*rec) {
			return messages.Deleted{}, s.notEnded(*rec, process.ErrGone)
		}
		return messages.Deleted{}, messages.Errorf(messages.WorkerConflict,
			"worker %s is process %d since %s, not %d; use that pid, or none", job.WorkerID, rec.Process.PID,
			rec.Process.At.Format(time.RFC3339), job.PID)
	}
	leader := rec.Process.Identity
	d, mine := s.deletes.begin(job.WorkerID, leader)
	if !mine {
		return s.join(ctx, d, job, *rec, tell)
	}
	defer s.deletes.end(leader, d)
	d.deleted, d.err = s.endWorker(ctx, d, job, *rec, tell)
	return d.deleted, d.err
}

// findToDelete returns the record of the worker, one whose start was cut short included.
func (s *Spawner) findToDelete(job messages.DeleteJob) (*record, error) {
	rec, err := s.readRecord(job.WorkerID)
	switch {
	case err == nil:
		return rec, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, unexpected("read the record of the worker", err)
	}
	if rec, err = s.recover(messages.Job{JobID: job.JobID, WorkerID: job.WorkerID}); err == nil {
		return rec, nil
	}
	return s.find(job.WorkerID)
}

// endWorker ends the worker's processes.
func (s *Spawner) endWorker(ctx context.Context, d *deletion, job messages.DeleteJob, rec record, tell deleteStory) (messages.Deleted, error) {
	signal, grace := rec.Terms.stop(s.cfg.StopGrace)
	if job.GraceMS > 0 {
		grace = job.Grace()
	}
	tree := s.treeOf(rec)
	defer tree.Group.Close()
	d.within(grace)
	begun := false // a worker that is found to have ended is not said to be deleted
	start := func() {
		if !begun {
			begun = true
			tell.start(rec, grace)
		}
	}
	ending, err := s.run.End(ctx, tree, process.EndConfig{
		Signal: process.Signal(signal), Grace: grace, Hurry: &d.hurry,
		Tell: func(signal string, processes int) {
			start()
			tell.signalled(signal, processes)
		},
		Hurried: func(left time.Duration) {
			start()
			tell.hurried(rec, d.who(), left)
		},
	})
	if err != nil {
		return messages.Deleted{}, s.notEnded(rec, err)
	}
	s.groups.drop(rec.Job)
	if ending.PortHeld {
		s.cfg.Logger.Warn("worker is gone, and its port is taken", "worker", rec.Result.WorkerID, "port", rec.Result.Port,
			"by", ending.PortHolder.Name, "pid", ending.PortHolder.PID)
	}
	return messages.Deleted{
		JobID: job.JobID, HiveID: s.cfg.HiveID, WorkerID: rec.Result.WorkerID, PID: rec.Process.PID, Signal: ending.Signal,
		TookMS: ending.Took.Milliseconds(), Processes: ending.Processes, ExitCode: s.awaitEnd(context.WithoutCancel(ctx), rec).Code,
	}, nil
}

// treeOf names the processes of a worker. The port is what tells it from the worker of another hive on this machine that bears the
// same id and got a job with the same ids. The caller closes the tree's group.
func (s *Spawner) treeOf(rec record) process.Tree {
	worker, port := rec.Result.WorkerID, strconv.Itoa(rec.Result.Port)
	return process.Tree{
		Leader: rec.Process.Identity, Worker: worker, Port: rec.Result.Port, Group: s.groups.of(rec),
		Env: []string{envWorkerID + "=" + worker, envJobID + "=" + rec.Job.JobID, envHiveID + "=" + s.cfg.HiveID, envPort + "=" + port},
	}
}

// notEnded puts the error of an end into words for whoever asked for it.
func (s *Spawner) notEnded(rec record, err error) error {
	worker := rec.Result.WorkerID
	stuck, isStuck := errors.AsType[*process.StuckError](err)
	switch {
	case errors.Is(err, process.ErrGone):
		return messages.Errorf(messages.WorkerNotFound, "worker %s (PID %d) has ended already; there was nothing to delete", worker, rec.Process.PID)
	case isStuck:
		return messages.Errorf(messages.Internal, "worker %s still runs: %w", worker, stuck)
	case errors.Is(err, process.ErrHeld):
		return messages.Errorf(messages.Internal, "worker %s has ended, and a process that cannot be found holds its lock: look for %s in the open files of all processes", worker, s.run.Path())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return draining("worker %s (PID %d) was told to end and may not have yet", worker, rec.Process.PID)
	}
	return unexpected("end the worker", err)
}

// join waits for a deletion that another job began, and answers with its outcome.
func (s *Spawner) join(ctx context.Context, d *deletion, job messages.DeleteJob, rec record, tell deleteStory) (messages.Deleted, error) {
	left, sooner := d.hurryUp(job)
	tell.joined(rec, left, sooner)
	select {
	case <-d.done:
	case <-ctx.Done():
		return messages.Deleted{}, draining("the job waits for another that deletes worker %s", job.WorkerID)
	}
	deleted := d.deleted
	deleted.JobID = job.JobID
	return deleted, d.err
}

// within notes that the worker has that long from now on, unless somebody left it less already.
func (d *deletion) within(grace time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if over := time.Now().Add(grace); d.over.IsZero() || over.Before(d.over) {
		d.over = over
	}
}

// hurryUp makes the grace shorter if the job asks for that. It returns how much of it is left, 0 if that is not known yet, and whether
// the job made it so.
func (d *deletion) hurryUp(job messages.DeleteJob) (left time.Duration, sooner bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if over := time.Now().Add(job.Grace()); job.GraceMS > 0 && (d.over.IsZero() || over.Before(d.over)) {
		d.over, d.by, sooner = over, job.JobID, true
		d.hurry.By(over)
	}
	return max(time.Until(d.over), 0), sooner
}

// who returns the job that made the grace shorter.
func (d *deletion) who() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.by
}

// begin returns the deletion of the worker that is under way, or a new one, which is the caller's to end.
func (d *deletes) begin(worker string, leader process.Identity) (under *deletion, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if under, ok := d.under[leader]; ok {
		return under, false
	}
	if d.under == nil {
		d.under = make(map[process.Identity]*deletion)
	}
	under = &deletion{done: make(chan struct{}), err: messages.Errorf(messages.Internal, "the deletion of worker %s broke off", worker)}
	d.under[leader] = under
	return under, true
}

func (d *deletes) end(leader process.Identity, under *deletion) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.under, leader)
	close(under.done)
}
