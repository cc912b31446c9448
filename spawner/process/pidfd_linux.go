package process

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// forkExec starts the process and works out when the kernel did.
func (p *Process) forkExec(path string, argv []string, attr *syscall.ProcAttr) (err error) {
	before := sinceBoot()
	if p.PID, err = syscall.ForkExec(path, argv, attr); err != nil {
		return err
	}
	known := false
	if p.StartTicks, known = ticksBetween(before, sinceBoot()); !known {
		p.StartTicks, _ = startTicks(p.PID)
	}
	return nil
}

// handle is a pidfd in the runtime's poller: waiting for a process that is no child costs a goroutine and no thread. The
// zero handle is that of a child, which needs none.
type handle struct {
	file *os.File
}

// Find returns the process that id names, so that it can be watched although another hive started it. The error is
// [ErrGone] if it has ended.
func Find(id Identity) (*Process, error) {
	if id.PID <= 1 {
		return nil, ErrGone
	}
	pidfd, err := unix.PidfdOpen(id.PID, unix.PIDFD_NONBLOCK) // os.NewFile puts what does not block into the poller
	if errors.Is(err, unix.EINVAL) {                          // Linux before 5.10
		if pidfd, err = unix.PidfdOpen(id.PID, 0); err == nil {
			err = unix.SetNonblock(pidfd, true)
		}
	}
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
	return &Process{
		Started: Started{Identity: id, At: id.startedAt()}, done: make(chan struct{}),
		handle: handle{file: os.NewFile(uintptr(pidfd), "pidfd")},
	}, nil
}

// wait returns when the process has ended, or with an error when the handle was closed. How it ended, the kernel tells only
// the parent; a process that an earlier [Watcher] of this process let go is still a child.
func (h handle) wait(pid int) (Exit, error) {
	exit := Exit{Code: -1, Unknown: true}
	raw, err := h.file.SyscallConn()
	if err == nil {
		err = raw.Read(func(pidfd uintptr) bool {
			if !ended(pidfd) {
				return false
			}
			if isChild(pidfd) {
				exit, _ = reap(pid)
			}
			return true
		})
	}
	if err != nil {
		return exit, fs.ErrClosed // a poller has no other error; its own for this is not exported
	}
	return exit, nil
}

func (h handle) close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

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
