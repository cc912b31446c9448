package spawner

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/logs"
)

// How often logs are rotated and what is old is swept out. A worker that prints 100 MB/s goes that much beyond what its log
// keeps between two rotations.
const (
	rotateEvery = time.Second
	sweepLogs   = 5 * time.Minute
)

// upkeep rotates the logs and sweeps out old ones and old records until the spawner is closed.
func (s *Spawner) upkeep() {
	rotate, sweep := time.NewTicker(rotateEvery), time.NewTicker(sweepLogs)
	defer rotate.Stop()
	defer sweep.Stop()
	s.sweepLogs()
	for {
		select {
		case <-s.quit:
			return
		case <-rotate.C:
			s.rotateLogs()
		case <-sweep.C:
			s.sweep()
			s.sweepGroups()
			s.sweepLogs()
		}
	}
}

// warmEvery is how often it is looked whether something new lies in the catalog.
const warmEvery = 2 * time.Second

// warmCatalog computes the checksums of what lies in the catalog, at once and when something new does, so that the first job
// that starts a large program does not wait for that. It returns when the spawner is closed.
func (s *Spawner) warmCatalog() {
	if s.catalog == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		<-s.quit
		cancel()
	})
	look := time.NewTicker(warmEvery)
	defer look.Stop()
	for {
		s.catalog.Warm(ctx)
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// rotateLogs frees the oldest parts of logs that have grown beyond what is kept. What cannot be rotated here is said once.
func (s *Spawner) rotateLogs() {
	done, err := logs.RotateAll(s.cfg.LogDir, s.cfg.KeepLog)
	switch {
	case err == nil && len(done.Skipped) > 0:
		s.cfg.Logger.Debug("not every log could be rotated", "err", errors.Join(done.Skipped...))
	case err == nil:
	case errors.Is(err, errors.ErrUnsupported):
		if !s.saidUnsupported {
			s.saidUnsupported = true
			s.cfg.Logger.Warn("logs grow until they are swept out", "err", err)
		}
	default:
		s.cfg.Logger.Debug("logs could not be rotated", "err", err)
	}
}

// sweepLogs removes the logs of workers that ended, beyond what is kept.
func (s *Spawner) sweepLogs() {
	removed, err := logs.Sweep(s.cfg.LogDir, s.cfg.KeepExited, s.writes)
	if err != nil {
		s.cfg.Logger.Warn("not every old log could be removed", "err", err)
	}
	if removed > 0 {
		s.cfg.Logger.Debug("old logs removed", "removed", removed)
	}
}

// writes reports whether a worker lives, or is being started, that writes to the log. When in doubt, one does.
func (s *Spawner) writes(path string) bool {
	worker, job, ok := strings.Cut(strings.TrimSuffix(filepath.Base(path), logs.Suffix), ".")
	if !ok || messages.CheckID(worker) != nil || messages.CheckID(job) != nil {
		return true // no log of a worker; it is not the hive's to remove
	}
	held, err := s.run.Held(worker)
	rec, recErr := s.readRecord(worker)
	if recErr == nil && rec.Process.Alive() {
		return rec.Job.JobID == job // the log of an earlier start is not in use any more
	}
	return err != nil || held
}
