package process

import (
	"math"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Snapshot is the process table of the machine at one moment. One look answers for any number of workers:
//
//	Take      a list of all pids, and the session of each: two cheap system calls
//	TakeFor   the same of those alone that can belong to one worker
//	Members   a worker's session, and the sessions below it; who is above whom is read once, of the session leaders
//	Usage     the numbers of the members
//
// It works because nobody can join a session: whoever descends from a worker is in the worker's session, or in one that a
// descendant has opened. So of thousands of processes only the leaders of sessions and the members are looked at closely,
// each once and no sooner than an answer needs it; a full look at 2,000 processes would cost 12 ms.
//
// The zero Snapshot is empty. It keeps its memory from one Take to the next and must not be used by several goroutines at
// once.
type Snapshot struct {
	procs []proc            // in the order of pids
	first map[int32]int32   // session: index of its first process
	below map[int32][]int32 // session: the sessions that its processes opened; nil before link
	own   []int32           // this process and its ancestors; nil before mine

	asked   Identity // whose members led returned last
	members []int32  // what it returned

	names []byte // what getdents fills
	buf   []byte // what a read of one file fills
}

// proc is one process; what stat says of it is read when it is asked for.
type proc struct {
	pid, session int32
	next         int32 // index of the next process of the session, or none
	parent       int32 // 0 if it was not found by its parent: then stat tells
	read         bool
	stat         taskStat // zero if the process had gone when it was read
}

const none = -1

// Take looks at the processes as they are now.
func (s *Snapshot) Take() error {
	s.empty()
	dir, err := openRetry("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open /proc", err)
	}
	defer closeFD(dir)
	if err := eachNumber(dir, s.names, s.list); err != nil {
		return err
	}
	s.sort()
	return nil
}

func (s *Snapshot) empty() {
	if s.first == nil {
		s.first = make(map[int32]int32)
		s.names, s.buf = make([]byte, 32<<10), make([]byte, 1024)
	}
	clear(s.first)
	s.procs, s.below, s.own, s.asked = s.procs[:0], nil, s.own[:0], Identity{}
}

// sort puts the processes in order and those of each session into a list.
func (s *Snapshot) sort() {
	if !slices.IsSortedFunc(s.procs, byPID) {
		slices.SortFunc(s.procs, byPID)
	}
	for i := len(s.procs) - 1; i >= 0; i-- {
		p := &s.procs[i]
		p.next = none
		if next, ok := s.first[p.session]; ok {
			p.next = next
		}
		s.first[p.session] = int32(i)
	}
}

// Members returns the living processes of the worker that leader leads, as far as sessions and parents tell: the leader
// first, if it lives. An ended leader that was not yet waited for still proves its session; of one that is gone the answer
// is nil, and so for this process and its ancestors, and for a process that does not lead a session.
func (s *Snapshot) Members(leader Identity) []Identity {
	var ids []Identity
	for _, i := range s.led(leader) {
		ids = append(ids, Identity{PID: int(s.procs[i].pid), StartTicks: s.procs[i].stat.ticks, BootID: leader.BootID})
	}
	return ids
}

// Usage returns what the members use. It is zero, with no process, if there are none.
func (s *Snapshot) Usage(leader Identity) Usage {
	var u Usage
	for _, i := range s.led(leader) {
		stat := &s.procs[i].stat
		u.RSS += int64(stat.pages) * pageSize
		u.CPU += ticksOf(stat.cpu)
		u.Threads += stat.threads
		u.Processes++
	}
	return u
}

// led returns the indices of the members.
func (s *Snapshot) led(leader Identity) []int32 {
	if s.asked == leader {
		return s.members
	}
	if !s.proves(leader) {
		return nil
	}
	members := s.descend([]int32{int32(leader.PID)}, nil, leader.StartTicks)
	s.asked, s.members = leader, slices.DeleteFunc(members, func(i int32) bool { return s.look(i).ended() })
	return s.members
}

// proves reports whether the process with the leader's pid is the leader, so that the session of this number is its own.
func (s *Snapshot) proves(leader Identity) bool {
	if !leader.possible() || s.mine(int32(leader.PID)) {
		return false
	}
	i, ok := s.find(int32(leader.PID))
	return ok && s.look(i).ticks == leader.StartTicks && s.procs[i].session == int32(leader.PID)
}

// possible reports whether the identity can be that of a process that lives: nobody lives on from an earlier boot.
func (id Identity) possible() bool {
	return id.PID > 1 && id.PID <= math.MaxInt32 && id.StartTicks > 0 && id.BootID == bootID()
}

// session yields the indices of the session's processes.
func (s *Snapshot) session(session int32) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		for i, ok := s.first[session]; ok && i != none; i = s.procs[i].next {
			if !yield(i) {
				return
			}
		}
	}
}

func (s *Snapshot) find(pid int32) (int32, bool) {
	i, ok := slices.BinarySearchFunc(s.procs, pid, func(p proc, pid int32) int { return int(p.pid) - int(pid) })
	return int32(i), ok
}

// look returns what stat says of the process, which is zero if it has gone. The session in it is a later one than in the
// table if the process has just opened it: then the process is looked for where it came from.
func (s *Snapshot) look(i int32) *taskStat {
	p := &s.procs[i]
	if !p.read {
		p.read = true
		p.stat, _ = readTask(int(p.pid), s.buf)
	}
	return &p.stat
}

func (s *Snapshot) list(pid int) {
	session, err := unix.Getsid(pid)
	if err == nil {
		s.procs = append(s.procs, proc{pid: int32(pid), session: int32(session)})
	}
}

func byPID(a, b proc) int { return int(a.pid) - int(b.pid) }
