package spawner

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// groups are the control groups of this hive's workers, one for each, below the hive's own. Their names tell whose they are, also if
// two hives of one name run on this machine, so that the next hive finds them again. The zero value makes none, and all that is
// asked of it has nothing to do.
type groups struct {
	own    *process.Groups // nil: none are wanted, or none can be made
	prefix string          // of their names
}

// openGroups returns the groups of a hive with that run directory. The error says why none can be made here.
func openGroups(hive, runDir string) (groups, error) {
	own, err := process.OpenGroups()
	if err != nil {
		return groups{}, err
	}
	sum := sha256.Sum256([]byte(runDir))
	return groups{own: own, prefix: fmt.Sprintf("rbee.%s.%x.", hive, sum[:4])}, nil
}

// make returns the group that a worker is to be started in, which is empty, or nil. The error is [process.ErrHeld] if a process
// of an earlier worker with this id is in it. The caller closes it.
func (g groups) make(worker string) (*process.Group, error) {
	if g.own == nil {
		return nil, nil
	}
	return g.own.Make(g.prefix + worker)
}

// of returns the group that the worker was started in; nil if there is none. The caller closes it.
func (g groups) of(worker string) *process.Group {
	if g.own == nil {
		return nil
	}
	group, err := g.own.Open(g.prefix + worker)
	if err != nil {
		return nil
	}
	return group
}

// populated reports whether a process of the worker is in its group, however it left everything else behind.
func (g groups) populated(worker string) bool {
	group := g.of(worker)
	if group == nil {
		return false
	}
	defer group.Close()
	return group.Populated()
}

// remove removes the group of a worker that has ended, unless somebody is in it.
func (g groups) remove(worker string) {
	if group := g.of(worker); group != nil {
		defer group.Close()
		_ = group.Remove(ended) // not now means later: see sweep
	}
}

// ended is the context of what is tried once.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// sweep removes the groups of workers that ended while no hive was there. Those that isFree does not say are idle stay: somebody may
// be about to start a process in one.
func (g groups) sweep(isFree func(worker string) bool) {
	if g.own == nil {
		return
	}
	for _, name := range g.own.Names() {
		worker, ours := strings.CutPrefix(name, g.prefix)
		if ours && messages.CheckID(worker) == nil && isFree(worker) {
			g.remove(worker)
		}
	}
}

// groupFor returns the control group that the job's worker is to be started in; nil if it gets none. Where the system refuses one,
// the log says so and the worker does without.
func (s *Spawner) groupFor(job messages.Job) (*process.Group, error) {
	group, err := s.groups.make(job.WorkerID)
	switch {
	case errors.Is(err, process.ErrHeld):
		return nil, messages.Errorf(messages.WorkerConflict,
			"worker %s has ended, but something that it started runs on (%w): delete the worker, or use another worker_id", job.WorkerID, err)
	case err != nil:
		s.cfg.Logger.Warn("worker gets no control group of its own", "job", job.JobID, "worker", job.WorkerID, "err", err)
		return nil, nil
	}
	return group, nil
}

// sweepGroups removes the groups that nobody needs any more.
func (s *Spawner) sweepGroups() {
	s.groups.sweep(func(worker string) bool {
		held, err := s.run.Held(worker)
		return err == nil && !held
	})
}
