package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"golang.org/x/sys/unix"
)

// atOnce is how many questions are under way at once: each is an open file. Whoever hangs must not keep many others from being asked.
const atOnce = 128

// readSize is how much is read at once: the whole answer of most servers.
const readSize = 4 << 10

// Asked is a number of questions that were put. It is for one goroutine.
//
// Package net/http takes two goroutines, a dozen system calls and 20 kB for each of them, which is more than it takes a server to
// answer. Here a question is five system calls: on the way to this same machine, to connect and to send never wait for anybody,
// unless a server has more connections waiting than it takes.
type Asked struct {
	questions []Question
	answers   []error
	put       int    // how many were begun
	calls     []call // by slot
	open      int    // how many of the slots are in use
	buf       []byte // what a read fills
}

// call is one question under way.
type call struct {
	fd       int // -1 in a slot that is free
	question int
	unsent   []byte // of the request
	watched  uint32 // what the poller waits for; 0 before it does
	came     []byte // of the answer, unless it was complete at once
	head     head   // of the answer, as far as it came
}

// Ask puts the questions, as many at once as may be, and waits for nobody. The caller collects with Answers, or calls Drop.
func Ask(questions ...Question) *Asked {
	a := &Asked{questions: questions, answers: make([]error, len(questions))}
	a.calls = make([]call, 0, min(len(questions), atOnce))
	a.begin(nil)
	return a
}

// Put returns how many of the questions were put so far, the first ones; the others follow as soon as some are answered.
func (a *Asked) Put() int { return a.put }

// Answers waits for the answers and returns one for each question, in their order: nil of a server that serves, and otherwise what
// it says instead or why it says nothing. Once ctx has ended, nobody is waited for any more.
func (a *Asked) Answers(ctx context.Context) []error {
	defer a.Drop()
	for slot := range a.calls { // most have answered by now
		a.proceed(ctx, slot)
	}
	a.begin(nil)
	if a.open == 0 {
		return a.answers
	}
	if err := a.await(ctx); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer: %w", ctx.Err())
		}
		for _, c := range a.calls {
			if c.fd >= 0 {
				a.answers[c.question] = a.questions[c.question].failed(err)
			}
		}
		for ; a.put < len(a.questions); a.put++ {
			a.answers[a.put] = a.questions[a.put].failed(err)
		}
	}
	return a.answers
}

// Drop gives up the questions that were not answered. It does nothing behind Answers.
func (a *Asked) Drop() {
	for slot := range a.calls {
		a.hangUp(slot)
	}
	a.put = len(a.questions)
}

// begin puts further questions as long as there is a free slot, and has the poller watch them, if there is one.
func (a *Asked) begin(p *poller) {
	for slot := 0; a.put < len(a.questions) && a.open < atOnce; {
		switch {
		case slot == len(a.calls):
			a.calls = append(a.calls, call{fd: -1})
		case a.calls[slot].fd >= 0:
			slot++
		case !a.call(slot):
			return
		default:
			a.watch(p, slot)
		}
	}
}

// call puts the next question. It returns false if that must wait until another was answered.
func (a *Asked) call(slot int) bool {
	q := a.questions[a.put]
	request, err := q.request()
	if err == nil {
		a.calls[slot].fd, err = dial(q.Port)
		if a.open > 0 && (errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)) {
			return false
		}
		if err != nil {
			err = q.failed(err)
		}
	}
	c := &a.calls[slot]
	c.question, c.unsent, c.watched, c.came, c.head = a.put, request, 0, nil, head{}
	a.put++
	if err != nil {
		c.fd = -1
		a.answers[c.question] = err
		return true
	}
	a.open++
	if _, err := c.send(q); err != nil {
		a.answer(slot, err)
	}
	return true
}

// request returns the text of the question.
func (q Question) request() ([]byte, error) {
	target, err := url.Parse(q.url())
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: rbee-hive\r\nConnection: close\r\n\r\n", target.RequestURI(), target.Host), nil
}

// dial begins to connect to the port.
func dial(port int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EINTR) {
		_ = unix.Close(fd)
		return -1, dialFailed(port, err)
	}
	return fd, nil
}

func dialFailed(port int, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, Err: os.NewSyscallError("connect", err)}
}

// proceed does for the call in the slot what can be done without waiting and before ctx ends: some servers say more than can be read.
func (a *Asked) proceed(ctx context.Context, slot int) {
	c := &a.calls[slot]
	if c.fd < 0 || ctx.Err() != nil {
		return
	}
	if a.buf == nil {
		a.buf = make([]byte, readSize)
	}
	q := a.questions[c.question]
	if sent, err := c.send(q); !sent || err != nil {
		if err != nil {
			a.answer(slot, err)
		}
		return
	}
	for ctx.Err() == nil {
		n, err := unix.Read(c.fd, a.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			a.answer(slot, q.failed(os.NewSyscallError("read", err)))
			return
		}
		came := a.buf[:n]
		if len(c.came) > 0 {
			c.came = append(c.came, came...)
			came = c.came
		}
		status, text, more, err := c.head.read(came, n == 0)
		switch {
		case err != nil:
			a.answer(slot, q.failed(err))
			return
		case !more:
			a.answer(slot, q.judge(status, text))
			return
		case len(c.came) == 0:
			c.came = append(c.came, came...)
		}
	}
}

// send sends what is left of the request. sent is false if the server does not take it yet.
func (c *call) send(q Question) (sent bool, err error) {
	for len(c.unsent) > 0 {
		n, err := unix.Write(c.fd, c.unsent)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return false, nil
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
			c.unsent = nil // it has gone; what it said before can still be read
			return true, nil
		case err != nil:
			return false, q.failed(dialFailed(q.Port, err)) // this is how the kernel tells it
		}
		c.unsent = c.unsent[n:]
	}
	return true, nil
}

// answer ends the call in the slot with this answer.
func (a *Asked) answer(slot int, err error) {
	a.answers[a.calls[slot].question] = err
	a.hangUp(slot)
}

func (a *Asked) hangUp(slot int) {
	if c := &a.calls[slot]; c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd, c.came = -1, nil
		a.open--
	}
}
