package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handle is a pidfd in the runtime's poller: waiting for a process costs a goroutine and no thread.
type handle struct {
	file *os.File
}

// forkExec starts the process and takes its pidfd, which the kernel makes together with the process (clone3(2),
// CLONE_PIDFD), so that it can never mean another.
func (p *Process) forkExec(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	pidfd := -1
	attr.Sys.PidFD = &pidfd
	before := sinceBoot()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, err
	}
	known := false
	if p.StartTicks, known = ticksBetween(before, sinceBoot()); !known {
		p.StartTicks, _ = startTicks(pid)
	}
	if pidfd < 0 {
		if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			_ = unix.Kill(pid, unix.SIGKILL) // not yet waited for, so the pid is still the child's
			reap(pid)
			return 0, fmt.Errorf("pidfd of %d: %w (Linux 5.4 or later is needed)", pid, err)
		}
	}
	p.handle = newHandle(pidfd)
	return pid, nil
}

// Find returns the process that id names, so that it can be watched although another hive started it. The error is
// [ErrGone] if it has ended.
func Find(id Identity) (*Process, error) {
	if id.PID <= 1 {
		return nil, ErrGone
	}
	pidfd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	// The descriptor came first: if the pid still is who is meant, the descriptor is, too.
	if !id.Alive() {
		closeFD(pidfd)
		return nil, ErrGone
	}
	return &Process{Started: Started{Identity: id, At: id.startedAt()}, handle: newHandle(pidfd), done: make(chan struct{})}, nil
}

func newHandle(pidfd int) handle {
	_ = unix.SetNonblock(pidfd, true) // else os.NewFile would not put it into the poller
	return handle{file: os.NewFile(uintptr(pidfd), "pidfd")}
}

// wait returns when the process has ended, or with an error when the handle was closed.
func (h handle) wait(pid int) (Exit, error) {
	raw, err := h.file.SyscallConn()
	exit := Exit{Code: -1, Unknown: true}
	if err == nil {
		err = raw.Read(func(pidfd uintptr) bool {
			if !ended(pidfd) {
				return false
			}
			if isChild(pidfd) {
				exit = reap(pid)
			}
			return true
		})
	}
	if err != nil {
		return Exit{}, fs.ErrClosed // a poller has no other error; its own for this is not exported
	}
	return exit, nil
}

func (h handle) close() error { return h.file.Close() }

// isChild reports whether the ended process behind a pidfd is a child of this one that was not waited for. If it is, its pid
// means nobody else until it is waited for.
func isChild(pidfd uintptr) bool {
	return unix.Waitid(unix.P_PIDFD, int(pidfd), nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil
}

// ended reports whether the process behind a pidfd has ended: only then is the descriptor readable.
func ended(pidfd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// startedAt returns the start of the process on the wall clock, as exact as the kernel's ticks of 10 ms.
func (id Identity) startedAt() time.Time {
	return time.Now().UTC().Add(time.Duration(id.StartTicks)*tick - sinceBoot())
}
