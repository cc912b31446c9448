package process

import (
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// mostThreads is how many threads are asked for their children before it is cheaper to look at all processes.
const mostThreads = 256

// TakeFor is Take for the worker of one leader, whatever the number of other processes: it goes from the leader to its
// children and on (proc_tid_children(5)). A process whose parent has ended is found, too, if it is in a session of the
// worker's: the kernel makes it a child of one of the leader's ancestors (PR_SET_CHILD_SUBREAPER(2const)), so their children are
// looked at. Of any other worker the snapshot then knows nothing.
func (s *Snapshot) TakeFor(leader Identity) error {
	s.empty()
	if !leader.possible() {
		return nil
	}
	if !tellsChildren() {
		return s.Take()
	}
	f := family{snap: s, at: make(map[int32]int)}
	f.ancestors(int32(os.Getpid())) // who must not be taken for one of the worker's
	above := f.ancestors(int32(leader.PID))
	f.join(int32(leader.PID))
	for _, pid := range above {
		f.adopted(pid)
	}
	f.orphans()
	if f.threads > mostThreads {
		return s.Take()
	}
	s.sort()
	return nil
}

// tellsChildren reports whether the kernel tells the children of a thread (CONFIG_PROC_CHILDREN).
var tellsChildren = sync.OnceValue(func() bool {
	return unix.Access("/proc/thread-self/children", unix.R_OK) == nil
})

// family is the search of [Snapshot.TakeFor].
type family struct {
	snap     *Snapshot
	at       map[int32]int // pid: index in the snapshot
	sessions []int32       // of those that have joined
	joined   []int32
	loose    []adopted // children of the leader's ancestors that have not joined
	threads  int       // that were asked for their children
}

// adopted is a process that may have been one of the worker's before its parent ended.
type adopted struct{ pid, session, parent int32 }

// ancestors adds the process and those above it, and returns the pids of the latter.
func (f *family) ancestors(pid int32) (above []int32) {
	for pid > 0 && f.threads <= mostThreads && !slices.Contains(above, pid) {
		above = append(above, pid)
		f.add(pid, 0)
		i, ok := f.at[pid]
		if !ok {
			break
		}
		pid = f.snap.look(int32(i)).parent
		f.snap.procs[i].parent = pid
	}
	return above[min(1, len(above)):]
}

// add adds a process, once.
func (f *family) add(pid, parent int32) {
	i, ok := f.at[pid]
	if !ok {
		f.snap.list(int(pid))
		if i = len(f.snap.procs) - 1; i < 0 || f.snap.procs[i].pid != pid {
			return // it has gone
		}
		f.at[pid] = i
	}
	if parent > 0 {
		f.snap.procs[i].parent = parent
	}
}

// join has the process join the worker, with its session and with all its descendants.
func (f *family) join(pid int32) {
	for next := []int32{pid}; len(next) > 0; {
		pid, next = next[0], next[1:]
		i, ok := f.at[pid]
		if !ok || slices.Contains(f.joined, pid) {
			continue
		}
		f.joined = append(f.joined, pid)
		if session := f.snap.procs[i].session; !slices.Contains(f.sessions, session) {
			f.sessions = append(f.sessions, session)
		}
		f.children(pid, nil, func(child, parent int32) {
			f.add(child, parent)
			next = append(next, child)
		})
	}
}

// adopted notes the children of one of the leader's ancestors. An orphan is made the child of the first thread that lives
// (find_new_reaper of the kernel), which is the first of all unless that has ended.
func (f *family) adopted(pid int32) {
	i, ok := f.at[pid]
	if !ok {
		return
	}
	first := []int{int(pid)}
	if stat := f.snap.look(int32(i)); stat.state == 'Z' && stat.threads > 1 {
		first = nil
	}
	f.children(pid, first, func(child, parent int32) {
		if _, ok := f.at[child]; ok {
			return
		}
		if session, err := unix.Getsid(int(child)); err == nil {
			f.loose = append(f.loose, adopted{child, int32(session), parent})
		}
	})
}

// orphans has those of them join who are in a session of the worker's, until nobody is left.
func (f *family) orphans() {
	for grown := true; grown; {
		grown = false
		for _, a := range f.loose {
			if slices.Contains(f.sessions, a.session) && !slices.Contains(f.joined, a.pid) {
				f.add(a.pid, a.parent)
				f.join(a.pid)
				grown = true
			}
		}
	}
}

// children calls with each child of these threads of the process, of all if there are none, and with the process.
func (f *family) children(pid int32, threads []int, with func(child, parent int32)) {
	i, ok := f.at[pid]
	if !ok || f.threads > mostThreads {
		return
	}
	if len(threads) == 0 && f.snap.look(int32(i)).threads <= 1 {
		threads = []int{int(pid)}
	}
	if len(threads) == 0 {
		dir, err := openRetry(procPath(int(pid), "/task"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		_ = eachNumber(dir, f.snap.names, func(thread int) { threads = append(threads, thread) })
		closeFD(dir)
	}
	f.threads += len(threads)
	if f.threads > mostThreads {
		return
	}
	for _, thread := range threads {
		list, err := readFile(procPath(int(pid), "/task/"+strconv.Itoa(thread)+"/children"), f.snap.names)
		if err != nil {
			continue
		}
		if len(list) == len(f.snap.names) { // there are more
			f.threads = mostThreads + 1
			return
		}
		for child := int32(0); len(list) > 0; list = list[1:] {
			if c := list[0]; c != ' ' {
				child = 10*child + int32(c-'0')
				continue
			}
			with(child, pid)
			child = 0
		}
	}
}
