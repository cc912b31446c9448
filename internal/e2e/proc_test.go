//go:build linux

package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// proc is what /proc/PID/stat says of a process.
type proc struct {
	pid, parent int
	name        string
	state       byte
}

func (p proc) String() string { return fmt.Sprintf("%d %s (%c)", p.pid, p.name, p.state) }

// children returns the processes whose parent is the one named, zombies included.
func children(parent int) []proc {
	entries, _ := os.ReadDir("/proc")
	var found []proc
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if p, ok := readProc(pid); ok && p.parent == parent {
			found = append(found, p)
		}
	}
	return found
}

func readProc(pid int) (proc, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if err != nil || open < 0 || end < 0 {
		return proc{}, false
	}
	p := proc{pid: pid, name: string(data[open+1 : end])}
	_, err = fmt.Sscanf(string(data[end+1:]), " %c %d", &p.state, &p.parent)
	return p, err == nil
}

// alive reports whether the process runs: it is there, and it is more than an exit status that nobody fetched.
func alive(pid int) bool {
	p, ok := readProc(pid)
	return ok && p.state != 'Z' && p.state != 'X'
}

// variable returns a variable of the environment that the process was started with.
func variable(pid int, name string) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	for entry := range strings.SplitSeq(string(data), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// orphans returns the pids of the machine's living workers whose hive has ended. It waits for those that are still what a
// fork left or that are about to be gone, and fetches the exit status of those that ended.
func (m *machine) orphans() []int {
	hives.Lock()
	defer hives.Unlock()
	for late := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		var pids []int
		settled := true
		for _, p := range children(os.Getpid()) {
			if hives.pids[p.pid] {
				continue
			}
			if p.state == 'Z' {
				reaped, err := syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
				settled = settled && (reaped == p.pid || err != nil)
				continue
			}
			cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.pid))
			switch {
			case err != nil, m.holds(cwd) && isFork(p.pid):
				settled = false
			case m.holds(cwd):
				pids = append(pids, p.pid)
			}
		}
		if settled || time.Now().After(late) {
			return pids
		}
	}
}

// isFork reports whether the process is a copy of a hive that has not become a worker yet.
func isFork(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err != nil || exe == filepath.Join(programs, "rbee-hive")
}

// holds reports whether the path lies on the machine.
func (m *machine) holds(path string) bool {
	return path == m.dir || strings.HasPrefix(path, m.dir+"/")
}

// bury kills whatever was started on the machine and returns when it has gone. The machine's hives must have ended.
func (m *machine) bury() {
	for pids := m.orphans(); len(pids) > 0; pids = m.orphans() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}
