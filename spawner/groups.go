package spawner

import (
	"crypto/sha256"
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

// name returns the name of the group of a start: no later one of the same worker has it.
func (g groups) name(job messages.Job) string { return g.ofWorker(job.WorkerID) + job.JobID }

// ofWorker returns how the names of the worker's groups begin.
func (g groups) ofWorker(worker string) string { return g.prefix + worker + "." }

// of returns the group that the worker was started in; nil if there is none. The caller closes it.
func (g groups) of(rec record) *process.Group { return g.open(g.name(rec.Job)) }

func (g groups) open(name string) *process.Group {
	if g.own == nil {
		return nil
	}
	group, err := g.own.Open(name)
	if err != nil {
		return nil
	}
	return group
}

// populated reports whether a process of the worker is in its group, however it left everything else behind.
func (g groups) populated(rec record) bool {
	group := g.of(rec)
	defer group.Close()
	return group.Populated()
}

// drop removes the group of a job's worker, unless somebody is in it.
func (g groups) drop(job messages.Job) { g.dropNamed(g.name(job)) }

func (g groups) dropNamed(name string) {
	if group := g.open(name); group != nil {
		defer group.Close()
		_ = group.Remove() // not now means later: see sweep
	}
}

// sweep removes the groups of workers that ended while no hive was there. Those that isFree does not say are idle stay: somebody may
// be about to start a process in one.
func (g groups) sweep(isFree func(worker string) bool) {
	if g.own == nil {
		return
	}
	for _, name := range g.own.Names() {
		rest, ours := strings.CutPrefix(name, g.prefix)
		worker, _, whole := strings.Cut(rest, ".")
		if ours && whole && messages.CheckID(worker) == nil && isFree(worker) {
			g.dropNamed(name)
		}
	}
}

// before returns the group of an earlier worker with this id that somebody is in; nil if there is none. The caller has claimed the
// worker, and closes the group.
func (g groups) before(worker string) *process.Group {
	for _, name := range g.own.Names() {
		if !strings.HasPrefix(name, g.ofWorker(worker)) {
			continue
		}
		group := g.open(name)
		if group.Populated() {
			return group
		}
		group.Close()
	}
	return nil
}

// groupFor returns the control group that the job's worker is to be started in; nil if it gets none. Where the system refuses one,
// the log says so and the worker does without.
func (s *Spawner) groupFor(job messages.Job) (*process.Group, error) {
	if s.groups.own == nil {
		return nil, nil
	}
	if group := s.groups.before(job.WorkerID); group != nil {
		defer group.Close()
		return nil, messages.Errorf(messages.WorkerConflict,
			"worker %s has ended, but what it started runs on (%s): delete the worker, or use another worker_id", job.WorkerID, group)
	}
	group, err := s.groups.own.Make(s.groups.name(job))
	if err != nil {
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
