package spawner

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// keepRecords is how many workers the run directory remembers, the newest ones, besides those that live: as long as a job is
// among them, asking for it again gets the same answer. A record takes about 8 kB of memory.
const keepRecords = 1000

// DefaultKeepRecords is how long the record of a worker that ended is kept at most.
const DefaultKeepRecords = 7 * 24 * time.Hour

// sweepEvery is how many starts there are from one sweep of the run directory to the next.
const sweepEvery = 500

// sweepSometimes sweeps the run directory in the background after every sweepEvery-th start.
func (s *Spawner) sweepSometimes() {
	if s.starts.Add(1)%sweepEvery == 0 {
		s.watcher.Go(s.sweep)
	}
}

// sweep removes the records of workers that are gone, except the newest, and the old ones among those.
func (s *Spawner) sweep() {
	removed, err := s.run.Sweep(keepRecords, s.cfg.KeepRecords, func(worker string) bool {
		prior, err := s.readRecord(worker)
		return err == nil && prior.Process.Alive()
	})
	if err != nil {
		s.cfg.Logger.Warn("run directory cannot be swept", "err", err)
	}
	if removed > 0 {
		s.cfg.Logger.Debug("run directory swept", "removed", removed)
	}
}

// adopt watches the workers that an earlier hive left running, so that their ends are told, too.
func (s *Spawner) adopt() {
	ids, err := s.run.Workers()
	if err != nil {
		s.cfg.Logger.Warn("workers of an earlier hive cannot be listed", "err", err)
	}
	var starting []string
	for _, id := range ids {
		rec, err := s.readRecord(id)
		if errors.Is(err, fs.ErrNotExist) {
			rec, err = s.cutShort(id)
		}
		switch {
		case err == nil:
			s.watchAgain(*rec)
		case errors.Is(err, messages.HiveBusy):
			starting = append(starting, id)
		default:
			s.skip(id, err)
		}
	}
	if len(starting) > 0 {
		s.adoptStarting(starting)
	}
}

// cutShort returns the record of a worker whose start an earlier hive did not live to write down. Of a start that came to nothing
// it removes what is left; the error is fs.ErrNotExist then, and [messages.HiveBusy] if somebody has the worker's lock.
func (s *Spawner) cutShort(worker string) (*record, error) {
	rec, err := s.recover(messages.Job{WorkerID: worker})
	if !errors.Is(err, messages.HiveBusy) {
		return rec, err
	}
	claim, held := s.run.Claim(worker)
	if errors.Is(held, process.ErrHeld) {
		return nil, err
	}
	if held == nil {
		_ = claim.Remove() // what cannot be removed lies there as before
	}
	return nil, fs.ErrNotExist
}

// adoptStarting looks once more for workers whose lock is held and of which nothing else is known: another process of the hive is
// starting them, or one was killed right behind the start.
func (s *Spawner) adoptStarting(ids []string) {
	_ = pause(context.Background(), startPatience)
	for _, id := range ids {
		rec, err := s.readRecord(id)
		if errors.Is(err, fs.ErrNotExist) {
			rec, err = s.recover(messages.Job{WorkerID: id})
		}
		switch {
		case err == nil:
			s.watchAgain(*rec)
		case !errors.Is(err, messages.HiveBusy): // else nothing of it runs
			s.skip(id, err)
		}
	}
}

// watchAgain watches a worker that an earlier hive started.
func (s *Spawner) watchAgain(rec record) {
	worker, pid := rec.Result.WorkerID, rec.Process.PID
	p, err := process.Find(rec.Process.Identity)
	if errors.Is(err, process.ErrGone) {
		s.keepUnseenEnd(rec)
		return
	}
	if err != nil {
		s.cfg.Logger.Warn("worker of an earlier hive runs and cannot be watched", "worker", worker, "pid", pid, "err", err)
		return
	}
	s.watcher.Watch(p, func(exit process.Exit) {
		s.keepEnd(rec, exit)
		s.cfg.Exited(exitEvent(rec.Result, exit))
	})
	s.cfg.Logger.Info("worker of an earlier hive still runs", "job", rec.Job.JobID, "worker", worker, "pid", pid, "port", rec.Result.Port)
}
