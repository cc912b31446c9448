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
	removed, err := s.run.Sweep(keepRecords, s.cfg.KeepRecords, s.watched.has, func(worker string) bool {
		prior, err := s.readRecord(worker)
		return err == nil && prior.Process.Alive() || err == nil && s.groups.populated(*prior)
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
	var starting, begun []string
	for _, id := range ids {
		rec, err := s.readRecord(id)
		if err == nil {
			s.watchAgain(*rec)
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			s.skip(id, err)
		} else if held, _ := s.run.Held(id); held {
			starting = append(starting, id)
		} else {
			begun = append(begun, id)
		}
	}
	s.adoptStarting(begun)
	if len(starting) > 0 {
		_ = pause(context.Background(), startPatience) // another process of the hive may be starting them
		s.adoptStarting(starting)
	}
}

// adoptStarting looks for workers whose start was begun and of which nothing else is known: a hive was killed right before the
// start, or right behind it. What was never started is forgotten.
func (s *Spawner) adoptStarting(ids []string) {
	for _, id := range ids {
		rec, err := s.readRecord(id)
		if errors.Is(err, fs.ErrNotExist) {
			rec, err = s.recover(messages.Job{WorkerID: id})
		}
		switch {
		case err == nil:
			s.watchAgain(*rec)
		case errors.Is(err, messages.HiveBusy):
			s.forget(id)
		default:
			s.skip(id, err)
		}
	}
}

// forget removes what a start left that came to nothing, so that it is not looked for again.
func (s *Spawner) forget(worker string) {
	claim, err := s.run.Claim(worker)
	if err != nil {
		return // another process is starting it after all
	}
	defer claim.Release()
	fault.Point("spawner-forgotten")
	if _, err := s.readRecord(worker); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	rec, err := s.recoverEnded(claim, worker)
	if err == nil && rec == nil {
		err = claim.Remove()
	}
	if err != nil {
		s.skip(worker, err)
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
	s.keepPort(rec)
	s.observe(p, rec, func(exit process.Exit, end end) {
		s.cfg.Exited(exitEvent(rec.Result, exit, end.OOMKilled))
	})
	s.cfg.Logger.Info("worker of an earlier hive still runs", "job", rec.Job.JobID, "worker", worker, "pid", pid, "port", rec.Result.Port)
}
