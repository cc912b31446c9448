package health

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for any of many connections (epoll(7)). It is itself one file in the runtime's poller, so that whoever waits holds no
// thread, and a hundred connections are not put there and taken out again, one by one.
type poller struct {
	file   *os.File
	conn   syscall.RawConn // of the file
	events [64]unix.EpollEvent
	ready  int
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // os.NewFile puts what does not block into the poller
	}
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll")}
	if p.conn, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, err
	}
	return p, nil
}

// await proceeds with the calls that are under way, whenever one of them can, and puts the questions behind them, until all are
// answered.
func (a *Asked) await(ctx context.Context) error {
	p, err := newPoller()
	if err != nil {
		return err
	}
	defer func() { _ = p.file.Close() }()
	defer context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })()
	for slot := range a.calls {
		a.watch(p, slot)
	}
	for a.open > 0 {
		if err := p.wait(); err != nil {
			return err
		}
		for _, e := range p.events[:p.ready] {
			a.proceed(ctx, int(e.Fd))
			a.watch(p, int(e.Fd))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		a.begin(p)
	}
	return nil
}

// watch has the poller tell when it can go on with the call in the slot.
func (a *Asked) watch(p *poller, slot int) {
	c := &a.calls[slot]
	if p == nil || c.fd < 0 {
		return
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(slot)}
	if len(c.unsent) > 0 {
		event.Events = unix.EPOLLOUT
	}
	if c.watched == event.Events {
		return
	}
	op := unix.EPOLL_CTL_ADD
	if c.watched != 0 {
		op = unix.EPOLL_CTL_MOD
	}
	c.watched = event.Events
	if err := p.control(op, c.fd, &event); err != nil {
		a.answer(slot, a.questions[c.question].failed(os.NewSyscallError("epoll_ctl", err)))
	}
}

func (p *poller) control(op, fd int, event *unix.EpollEvent) (err error) {
	return errors.Join(p.conn.Control(func(self uintptr) { err = unix.EpollCtl(int(self), op, fd, event) }), err)
}

// wait waits until some calls can proceed. The error is os.ErrDeadlineExceeded once nobody is waited for any more.
func (p *poller) wait() (err error) {
	waited := p.conn.Read(func(self uintptr) bool {
		p.ready, err = unix.EpollWait(int(self), p.events[:], 0)
		return p.ready != 0 || err != nil
	})
	if waited != nil {
		return waited
	}
	return os.NewSyscallError("epoll_wait", err)
}
