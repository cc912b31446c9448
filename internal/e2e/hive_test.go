//go:build linux

package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/proctest"
)

// patience is how long a test waits for what must come.
const patience = proctest.Patience

// hive is a process of rbee-hive.
type hive struct {
	*proctest.Proc
	m *machine
}

// hives are the pids of the hives that run. The other children of this process are workers whose hive has ended.
var hives struct {
	sync.Mutex
	pids map[int]bool
}

// serve starts a hive on the machine, with variables that come before the machine's, and returns when it takes jobs. It is
// killed when the test ends, or this process.
func (m *machine) serve(env ...string) *hive {
	m.t.Helper()
	h := m.start(env)
	h.Await(`^rbee-hive \S+ ready: `)
	return h
}

func (m *machine) start(env []string) *hive {
	m.t.Helper()
	hives.Lock()
	defer hives.Unlock()
	cmd := exec.Command(filepath.Join(programs, "rbee-hive"), "serve")
	cmd.Env, cmd.Dir, cmd.ExtraFiles = append(m.environment(), env...), m.dir, m.inherited
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // of a thread, but here none ends before the process
	h := &hive{Proc: proctest.StartCommand(m.t, cmd), m: m}
	if hives.pids == nil {
		hives.pids = make(map[int]bool)
	}
	hives.pids[h.PID()] = true
	m.t.Cleanup(h.Kill)
	return h
}

// Kill ends the hive as a crash does, and returns when it has gone.
func (h *hive) Kill() {
	h.Proc.Kill()
	h.forget()
}

// Exit returns the hive's exit code and all that it said, once it has ended.
func (h *hive) Exit() (code int, said string) {
	h.m.t.Helper()
	defer h.forget()
	return h.Proc.Exit()
}

// forget says that the hive has gone and its pid may be another's.
func (h *hive) forget() {
	hives.Lock()
	defer hives.Unlock()
	delete(hives.pids, h.PID())
}

// threads returns how many threads the hive has.
func (h *hive) threads() int {
	h.m.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", h.PID()))
	require.NoError(h.m.t, err)
	return len(entries)
}

// files returns how many files the hive has open, or false where the kernel does not tell: it tells of a hive, whose
// memory may not be dumped, to root alone.
func (h *hive) files() (int, bool) {
	h.m.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.PID()))
	if os.Geteuid() != 0 && errors.Is(err, fs.ErrPermission) {
		return 0, false
	}
	require.NoError(h.m.t, err)
	return len(entries), true
}
