package spawner

import (
	"errors"

	"github.com/rbee-keeper/hive/spawner/process"
)

// keepRecords is how many workers the run directory remembers, the newest ones, besides those that live: as long as a job is
// among them, asking for it again gets the same answer. A record takes about 8 kB of memory.
const keepRecords = 1000

// sweepEvery is how many starts there are from one sweep of the run directory to the next.
const sweepEvery = 500

// sweepSometimes sweeps the run directory in the background after every sweepEvery-th start.
func (s *Spawner) sweepSometimes() {
	if s.starts.Add(1)%sweepEvery == 0 {
		s.watcher.Go(s.sweep)
	}
}

// sweep removes the records of workers that are gone, except the newest.
func (s *Spawner) sweep() {
	removed, err := s.run.Sweep(keepRecords, func(worker string) bool {
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
	for _, id := range ids {
		prior, err := s.readRecord(id)
		if err != nil {
			s.skip(id, err)
			continue
		}
		p, err := process.Find(prior.Process.Identity)
		if errors.Is(err, process.ErrGone) {
			continue
		}
		if err != nil {
			s.cfg.Logger.Warn("worker of an earlier hive runs and cannot be watched", "worker", id, "pid", prior.Process.PID, "err", err)
			continue
		}
		rec := *prior
		s.watcher.Watch(p, func(exit process.Exit) {
			s.keepEnd(rec, exit)
			s.cfg.Exited(exitEvent(rec.Result, exit))
		})
		s.cfg.Logger.Info("worker of an earlier hive still runs", "job", prior.Job.JobID, "worker", id, "pid", prior.Process.PID, "port", rec.Result.Port)
	}
}
