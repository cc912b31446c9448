package backend

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Bounds of the end of a tree.
const (
	killLimit = 5 * time.Second // from the first SIGKILL to the answer that a process cannot be killed
	firstLook = time.Millisecond
	lastLook  = 20 * time.Millisecond
)

// tree is the descendants of one process, which the kernel gives it back when they lose their parents.
type tree struct {
	root   int
	waited int // the child of root for which somebody else waits; 0 if there is none
}

func newTree(root, waited int) *tree { return &tree{root: root, waited: waited} }

// adopt has the kernel give the descendants that lose their parents to this process.
func adopt() error {
	const setChildSubreaper = 36
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setChildSubreaper, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("become the reaper of the server's processes: %w", os.NewSyscallError("prctl", errno))
	}
	return nil
}

// serverAttributes has the server start in a process group of its own, and the kernel kill it when its guard ends.
func serverAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// process is one process as /proc/PID/stat tells it.
type process struct {
	pid, parent int
	ticks       string // its start time
	state       byte
}

func (p process) ended() bool { return p.state == 'Z' || p.state == 'X' }

// members returns the descendants of the root, those that have ended and were not waited for among them.
func (t *tree) members() []process {
	names, err := readNames("/proc")
	if err != nil {
		return nil
	}
	children := make(map[int][]process)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	members := children[t.root]
	for i := 0; i < len(members); i++ {
		members = append(members, children[members[i].pid]...)
	}
	return members
}

// living returns the descendants that have not ended.
func (t *tree) living() []process {
	var living []process
	for _, p := range t.members() {
		if !p.ended() {
			living = append(living, p)
		}
	}
	return living
}

// reap waits for the root's children that have ended, but for the one for which somebody else waits.
func (t *tree) reap() {
	for _, p := range t.members() {
		if p.parent == t.root && p.ended() && p.pid != t.waited {
			_, _ = syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// end sends the signal to each descendant, once, until none lives or the time is over, and returns how many got it and how
// many live on.
func (t *tree) end(sig syscall.Signal, over time.Time) (told, left int) {
	seen := make(map[process]bool)
	for delay := firstLook; ; delay = min(2*delay, lastLook) {
		t.reap()
		living := t.living()
		if len(living) == 0 || !time.Now().Before(over) {
			return told, len(living)
		}
		for _, p := range living {
			key := process{pid: p.pid, ticks: p.ticks}
			if !seen[key] && p.signal(sig) {
				told++
			}
			seen[key] = true
		}
		<-time.After(delay)
	}
}

// kill kills what lives, and what is made meanwhile.
func (t *tree) kill() (killed, left int) {
	return t.end(syscall.SIGKILL, time.Now().Add(killLimit))
}

// signal sends the signal to this very process: the handle is there before its start time is compared, so that a pid which
// was given away means nobody. One that was stopped hears it only when it goes on.
func (p process) signal(sig syscall.Signal) bool {
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return false
	}
	defer func() { _ = handle.Release() }()
	if now, ok := readProcess(p.pid); !ok || now.ticks != p.ticks || handle.Signal(sig) != nil {
		return false
	}
	if p.state == 'T' {
		_ = handle.Signal(syscall.SIGCONT)
	}
	return true
}

// readProcess reads one process; false: there is none.
func readProcess(pid int) (process, bool) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The name is in parentheses and may hold anything, so the fields are counted from behind it (proc_pid_stat(5)).
	const state, parent, ticks = 0, 1, 19
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(fields) <= ticks {
		return process{}, false
	}
	above, err := strconv.Atoi(string(fields[parent]))
	if err != nil {
		return process{}, false
	}
	return process{pid: pid, parent: above, ticks: string(fields[ticks]), state: fields[state][0]}, true
}

// readNames returns the names in a directory, also those that came before an entry vanished.
func readNames(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return names, err
}
