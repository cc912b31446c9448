//go:build unix && !linux

package process

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func (p *Process) forkExec(path string, argv []string, attr *syscall.ProcAttr) (err error) {
	p.PID, err = syscall.ForkExec(path, argv, attr)
	return err
}

// handle is empty: only children are watched here, which need none.
type handle struct{}

func (handle) wait(int) (Exit, error) { return Exit{}, ErrGone }
func (handle) close() error           { return nil }

// Find always returns [ErrGone]: without a pidfd, a process that another hive started cannot be watched without the
// danger of meaning a later one.
func Find(Identity) (*Process, error) { return nil, ErrGone }

func bootID() string { return "" }

// Alive reports whether a process with this pid runs.
func (id Identity) Alive() bool { return id.PID > 1 && unix.Kill(id.PID, 0) == nil }

// FindHolder returns [ErrGone]: the system does not show what a process was started with.
func (d *RunDir) FindHolder(_, _ string, _ ...string) (Started, error) { return Started{}, ErrGone }
