package process

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// awaiter waits for the ends of several processes at once. Their pidfds are in an epoll of its own, and that is in the
// runtime's poller, so that any number of processes costs one goroutine and no thread.
type awaiter struct {
	file *os.File
	conn syscall.RawConn
}

func newAwaiter() (*awaiter, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	_ = unix.SetNonblock(epoll, true) // else os.NewFile would not put it into the poller
	file := os.NewFile(uintptr(epoll), "epoll")
	conn, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &awaiter{file: file, conn: conn}, nil
}

func (a *awaiter) close() { _ = a.file.Close() }

// add has the awaiter wake up once, when the process behind the pidfd has ended. It forgets it when the pidfd is closed.
func (a *awaiter) add(pidfd int) error {
	var err error
	if ctlErr := a.conn.Control(func(epoll uintptr) {
		err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, pidfd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(pidfd)})
	}); ctlErr != nil {
		return ctlErr
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// wait returns when a process has ended, at the given time, or when ctx ends: then with its error.
func (a *awaiter) wait(ctx context.Context, until time.Time) error {
	if err := a.file.SetReadDeadline(until); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = a.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var events [64]unix.EpollEvent
	err := a.conn.Read(func(epoll uintptr) bool {
		n, err := unix.EpollWait(int(epoll), events[:], 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}
