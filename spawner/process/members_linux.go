package process

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Members returns the living processes of the worker, the leader first if it lives. These belong to it:
//
//   - the leader, known by its pid, its start time and this boot, and everyone in its session and below;
//   - everyone who has inherited the worker's lock, which the kernel tells of the open file itself;
//   - everyone in its control group, if it has one;
//   - everyone of this user who was started with all of the tree's entries in the environment, not before the leader;
//   - the descendants of all of these.
//
// Never among them are init, threads of the kernel, this process and its ancestors. Lock and environment prove nothing
// once the worker's lock file names another process than the leader: then they are those of a later start.
func (d *RunDir) Members(tree Tree) ([]Identity, error) {
	h := newHunt(d, tree)
	defer h.close()
	if err := h.find(byAll); err != nil {
		return nil, err
	}
	var ids []Identity
	for _, m := range h.living() {
		ids = append(ids, Identity{PID: m.pid, StartTicks: m.ticks, BootID: tree.Leader.BootID})
	}
	return ids, nil
}

// How far to look for processes of a worker. Each includes those before it.
const (
	byTable  = iota // session, parents, control group: what the process table says
	byStrays        // environment, and the lock if it is held and nobody is known who could have it
	byAll           // the lock in any case, for which the open files of many processes must be read
)

// hunt is the search for the processes of one worker, which goes on while they start others and end. Whoever was found
// once is kept by a descriptor that means this very process (pidfd), so that the end of a parent loses nobody.
type hunt struct {
	run  *RunDir
	tree Tree
	snap Snapshot
	buf  []byte // for environments, whose first 128 kB are read

	members []*member // the leader first
	ended   int       // how many of them have

	session time.Time // when the leader's session was last known to be its own; zero if it never was
	held    bool      // the lock was held when it was last asked for
}

// member is a process of the worker.
type member struct {
	pid     int
	ticks   uint64
	pidfd   int   // -1 once it has ended
	awaited bool  // somebody wakes up when it ends
	told    bool  // it was sent the signal of this stage
	err     error // why it could not be sent a signal
}

func newHunt(run *RunDir, tree Tree) *hunt {
	return &hunt{run: run, tree: tree, buf: make([]byte, 128<<10)}
}

func (h *hunt) close() {
	for _, m := range h.members {
		m.close()
	}
}

func (m *member) close() {
	if m.pidfd >= 0 {
		closeFD(m.pidfd)
		m.pidfd = -1
	}
}

// find looks for processes of the worker that are not known yet, as far as it is told.
func (h *hunt) find(far int) error {
	if !h.tree.Leader.possible() {
		return nil
	}
	if err := h.snap.Take(); err != nil {
		return err
	}
	var pids []int32
	for _, m := range h.living() {
		pids = append(pids, int32(m.pid))
	}
	pids = append(pids, h.tree.Group.pids()...)
	var sessions []int32
	if h.ownsSession() {
		sessions = append(sessions, int32(h.tree.Leader.PID))
	}
	if err := h.add(h.snap.descend(sessions, pids, h.tree.Leader.StartTicks)); err != nil || far == byTable {
		return err
	}
	return h.findStrays(far)
}

// findStrays looks for those who have left the worker's session and lost their parents.
func (h *hunt) findStrays(far int) error {
	var pids []int32
	if len(h.tree.Env) > 0 {
		pids = h.strays(pids, func(pid int) bool { return hasEntries(pid, h.tree.Env, h.buf) && sameUser(pid) })
	}
	held, err := h.run.Held(h.tree.Worker)
	if err != nil {
		return fmt.Errorf("lock of worker %s: %w", h.tree.Worker, err)
	}
	if h.held = held; held && (far == byAll || len(h.living()) == 0) {
		var file unix.Stat_t
		if unix.Lstat(h.run.lockPath(h.tree.Worker), &file) == nil {
			pids = h.strays(pids, func(pid int) bool { return holdsLock(pid, &file, h.buf) })
		}
	}
	if len(pids) == 0 && !h.held {
		return nil
	}
	if !h.run.names(h.tree.Worker, h.tree.Leader) {
		h.held = false // by somebody else
		return nil
	}
	return h.add(h.snap.descend(nil, pids, h.tree.Leader.StartTicks))
}

// strays adds to pids those processes that could descend from the leader, for all that the table says, and for which
// proof holds. A process cannot join a session, so that of a descendant is no older than the leader.
func (h *hunt) strays(pids []int32, proof func(pid int) bool) []int32 {
	for i := range h.snap.procs {
		p := &h.snap.procs[i]
		if p.session == 0 || h.knows(int(p.pid)) {
			continue
		}
		if begins := h.snap.begins(p.session); begins > 0 && begins < h.tree.Leader.StartTicks {
			continue
		}
		stat := h.snap.look(int32(i))
		if stat.ticks >= h.tree.Leader.StartTicks && !stat.ended() && h.snap.mayEnd(int32(i)) && proof(int(p.pid)) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// add takes on the processes of the table, those that have not ended.
func (h *hunt) add(found []int32) error {
	for _, i := range found {
		stat := h.snap.look(i)
		if stat.ended() || h.knows(int(h.snap.procs[i].pid)) {
			continue
		}
		m, err := meet(int(h.snap.procs[i].pid), stat.ticks, h.snap.buf)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		if m.pid == h.tree.Leader.PID {
			h.members = slices.Insert(h.members, 0, m)
		} else {
			h.members = append(h.members, m)
		}
	}
	return nil
}

// meet opens the process that was started at the given time. The descriptor comes first: if the pid then still is who is
// meant, the descriptor is, too. It returns nil if the process has ended.
func meet(pid int, ticks uint64, buf []byte) (*member, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // EINVAL: it is being released
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
	}
	if stat, _ := readTask(pid, buf); stat.ticks != ticks || ended(uintptr(pidfd)) {
		closeFD(pidfd)
		return nil, nil
	}
	return &member{pid: pid, ticks: ticks, pidfd: pidfd}, nil
}

// knows reports whether the process with the pid is a member that had not ended when the table was made.
func (h *hunt) knows(pid int) bool {
	return slices.ContainsFunc(h.members, func(m *member) bool { return m.pid == pid && m.pidfd >= 0 })
}

// living returns the members that have not ended.
func (h *hunt) living() []*member {
	var living []*member
	for _, m := range h.members {
		if m.pidfd >= 0 && ended(uintptr(m.pidfd)) {
			m.close()
			h.ended++
		}
		if m.pidfd >= 0 {
			living = append(living, m)
		}
	}
	return living
}

// ownsSession reports whether the session with the leader's number is the leader's. As long as the leader can be seen, it
// says so itself. Behind it, the number stays taken while one process has the session, and so is the leader's as long as
// one that was known lives on; or if it was a moment ago, since all other numbers must be used up before it comes again.
func (h *hunt) ownsSession() bool {
	const moment = time.Second
	leader := h.tree.Leader
	switch i, there := h.snap.find(int32(leader.PID)); {
	case there:
		if !h.snap.proves(leader) && (h.session.IsZero() || h.snap.look(i).ticks != 0) {
			return false
		}
	case h.session.IsZero():
		return false
	case time.Since(h.session) > moment && !slices.ContainsFunc(h.living(), h.inSession):
		return false
	}
	h.session = time.Now()
	return true
}

func (h *hunt) inSession(m *member) bool {
	i, ok := h.snap.find(int32(m.pid))
	return ok && int(h.snap.procs[i].session) == h.tree.Leader.PID
}
