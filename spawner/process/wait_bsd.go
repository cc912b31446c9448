//go:build unix && !linux

package process

import (
	"io/fs"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// handle waits for a child in a thread: these systems have no pidfd.
type handle struct {
	closed chan struct{}
	once   *sync.Once
}

func (p *Process) forkExec(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	p.handle = handle{closed: make(chan struct{}), once: new(sync.Once)}
	return syscall.ForkExec(path, argv, attr)
}

// Find always returns [ErrGone]: without a pidfd, a process that another hive started cannot be watched without the
// danger of meaning a later one.
func Find(Identity) (*Process, error) { return nil, ErrGone }

// wait returns when the child has ended, or with an error when the handle was closed; the thread then goes on waiting.
func (h handle) wait(pid int) (Exit, error) {
	ended := make(chan Exit, 1)
	go func() { ended <- reap(pid) }()
	select {
	case exit := <-ended:
		return exit, nil
	case <-h.closed:
		return Exit{}, fs.ErrClosed
	}
}

func (h handle) close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func bootID() string { return "" }

// Alive reports whether a process with this pid runs.
func (id Identity) Alive() bool { return id.PID > 1 && unix.Kill(id.PID, 0) == nil }

// FindHolder returns [ErrGone]: the system does not show what a process was started with.
func (d *RunDir) FindHolder(_, _, _ string) (Started, error) { return Started{}, ErrGone }
