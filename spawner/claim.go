package spawner

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/rbee-keeper/hive/internal/fault"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// How long another start of the same worker may take until its outcome is known some other way.
const (
	startPatience = 500 * time.Millisecond // until a start that was cut short is looked for, and again
	startLimit    = 5 * time.Second        // until the caller is told to ask again; a busy machine can take long
	startPoll     = 2 * time.Millisecond
)

// claim takes the right to start the job's worker. If the worker runs already, or the job has been answered before, it
// returns the record of that instead; if the worker is another's, the error is [messages.WorkerConflict]. A job whose worker
// this hive has built for the same job already gets the answer of that.
func (s *Spawner) claim(ctx context.Context, job messages.Job, tell story, slot *slot) (*process.Claim, *record, error) {
	patience, limit := time.Now().Add(startPatience), time.Now().Add(startLimit)
	for {
		claim, err := s.run.Claim(job.WorkerID)
		if err == nil {
			return s.claimed(claim, job)
		}
		if !errors.Is(err, process.ErrHeld) {
			return nil, nil, unexpected("claim the worker", err)
		}
		if waited, err := s.awaitBuild(ctx, job, tell, slot); err != nil {
			return nil, nil, err
		} else if waited {
			patience, limit = time.Now().Add(startPatience), time.Now().Add(startLimit)
			continue
		}
		prior, err := s.readRecord(job.WorkerID)
		if err == nil && prior.Process.Alive() {
			return nil, prior, s.checkSame(job, *prior)
		}
		if now := time.Now(); now.After(patience) {
			prior, err := s.held(job, prior, err)
			if !errors.Is(err, messages.HiveBusy) || now.After(limit) {
				return nil, prior, err
			}
			patience = now.Add(startPatience)
		}
		if pause(ctx, startPoll) != nil {
			return nil, nil, draining("the job waits for another start of worker %s", job.WorkerID)
		}
	}
}

// held says what a lock means that stays held although the record, if there is one, names a process that has ended: a
// start that was cut short, or something that the worker left behind.
func (s *Spawner) held(job messages.Job, prior *record, err error) (*record, error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if prior, err = s.recover(job); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, unexpected("read the record of a worker that runs", err)
	case prior.Job.JobID != job.JobID && !s.leftSomething(*prior):
		return nil, startedElsewhere(job) // by a start that has written nothing yet, as while its program is built
	case prior.Job.JobID != job.JobID:
		return nil, messages.Errorf(messages.WorkerConflict,
			"worker %s (PID %d) of job %s has ended, but a process that it started holds its lock: end that, or use another worker_id",
			job.WorkerID, prior.Process.PID, prior.Job.JobID)
	}
	return prior, s.checkSame(job, *prior)
}

// leftSomething reports whether a process of a worker that has ended lives on. When in doubt, one does.
func (s *Spawner) leftSomething(rec record) bool {
	members, err := s.run.Members(s.treeOf(rec))
	return err != nil || len(members) > 0
}

// claimed looks at what an earlier run left of a worker whose lock is free. A worker that closed the descriptors it did
// not know lives all the same, and so may one whose start was cut short.
func (s *Spawner) claimed(claim *process.Claim, job messages.Job) (*process.Claim, *record, error) {
	if claim.Fresh() {
		return claim, nil, nil
	}
	prior, err := s.readRecord(job.WorkerID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		prior, err := s.recover(job)
		if errors.Is(err, messages.HiveBusy) { // nothing of an earlier start runs
			if prior, err = s.recoverEnded(claim, job.WorkerID); prior == nil || prior.Job.JobID != job.JobID {
				return claim, nil, err
			}
		}
		claim.Release()
		if err != nil {
			return nil, nil, err
		}
		return nil, prior, s.checkSame(job, *prior)
	case err != nil:
		s.cfg.Logger.Warn("record of a worker that is gone cannot be read; it is replaced", "worker", job.WorkerID, "err", err)
		return claim, nil, nil
	case prior.Process.Alive() || prior.Job.JobID == job.JobID:
		claim.Release()
		return nil, prior, s.checkSame(job, *prior)
	}
	return claim, nil, nil
}

// recover rebuilds the record of a worker that was started by a hive which died before it could write it. The error is
// [messages.HiveBusy] if no such worker is found.
func (s *Spawner) recover(job messages.Job) (*record, error) {
	var prior record
	if err := s.run.ReadStarting(job.WorkerID, &prior); err != nil {
		return nil, startedElsewhere(job)
	}
	log := prior.Result.LogPath
	if prior.Job.WorkerID != job.WorkerID || messages.CheckID(prior.Job.JobID) != nil || log != s.logPath(prior.Job) {
		log = "" // not its own, so it proves nothing
	}
	found, err := s.run.FindHolder(job.WorkerID, log, envWorkerID+"="+job.WorkerID, envJobID+"="+prior.Job.JobID)
	if there, err := s.readRecord(job.WorkerID); err == nil { // it was not cut short: whoever starts it has written it by now
		return there, nil
	}
	if err != nil || prior.check(job.WorkerID) != nil {
		return nil, startedElsewhere(job)
	}
	fault.Point("spawner-found")
	body, err := prior.encode() // without the process, as whoever started it writes it
	if err == nil {
		err = s.run.WriteStarted(job.WorkerID, found, body)
	}
	if err != nil {
		return nil, unexpected("recover the worker", err)
	}
	prior.started(found)
	s.givePort(prior)
	s.cfg.Logger.Warn("found a worker whose start was cut short", "worker", job.WorkerID, "pid", found.PID)
	return &prior, nil
}

// recoverEnded finds out whether a worker whose start was cut short was started after all, and has ended since: then it may have
// written something to its log. If so, that becomes its record and its job's answer. Otherwise it returns nil: the start is taken for
// one that never was. So a worker that ends without a word while the hive dies behind its start may be started again.
func (s *Spawner) recoverEnded(claim *process.Claim, worker string) (*record, error) {
	var prior record
	known := s.run.ReadStarting(worker, &prior) == nil && prior.check(worker) == nil && prior.Result.LogPath == s.logPath(prior.Job)
	if !known || sizeOf(prior.Result.LogPath) <= prior.LogStart {
		return nil, nil
	}
	prior.answered = true
	prior.Failure = messages.Errorf(messages.WorkerExited, "%s has ended, and how is not known: the hive was killed while it started it; its log is %s",
		prior.Result.Worker, prior.Result.LogPath)
	s.dossier(prior.Failure, prior, prior.LogStart)
	body, err := prior.encode()
	if err == nil {
		err = claim.Replace(process.Started{}, body)
	}
	if err != nil {
		return nil, unexpected("recover the worker", err)
	}
	s.cfg.Logger.Warn("found that a worker whose start was cut short has ended", "worker", worker, "log", prior.Result.LogPath)
	return &prior, nil
}

// checkSame returns an error if the worker of prior is not the one that job asks for. What the job leaves open is whatever
// the worker got.
func (s *Spawner) checkSame(job messages.Job, prior record) error {
	asked, got := job, prior.Job
	asked.QueenURL, got.QueenURL = s.queenOf(asked), s.queenOf(got)
	got.Port = prior.Result.Port
	if asked.SameSpec(got) {
		return nil
	}
	if prior.Job.JobID == job.JobID {
		return messages.Errorf(messages.WorkerConflict, "job %s came before with other values, for model %s on device %s port %d (PID %d); use another job_id or the same values",
			job.JobID, prior.Job.Model, prior.Job.Device, prior.Result.Port, prior.Process.PID)
	}
	return messages.Errorf(messages.WorkerConflict,
		"worker %s was started by job %s for model %s on device %s port %d (PID %d), which is not what this job asks for; use another worker_id or the same values",
		job.WorkerID, prior.Job.JobID, prior.Job.Model, prior.Job.Device, prior.Result.Port, prior.Process.PID)
}

// draining says that the hive stops while the job waits for what is described.
func draining(format string, args ...any) *messages.Error {
	e := messages.Errorf(messages.HiveDraining, "the hive is stopping: "+format, args...)
	e.Retryable = true
	return e
}

func startedElsewhere(job messages.Job) error {
	e := messages.Errorf(messages.HiveBusy, "worker %s is being started by another process; ask again", job.WorkerID)
	e.Retryable = true
	return e
}
