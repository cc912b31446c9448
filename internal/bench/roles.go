//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/natsd"
)

// role answers what it is asked, one line at a time, until its input ends.
type role interface {
	answer(verb string, n, at int, path string) (any, error)
	end()
}

// sample is a series of durations, and how long all of it took.
type sample struct {
	Each []time.Duration
	All  time.Duration
}

func play(name string, args []string) int {
	r, err := cast(name, args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", name, err)
		return 1
	}
	defer r.end()
	out := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var n, at int
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		var path string
		_, _ = fmt.Sscan(rest, &n, &at, &path)
		value, err := r.answer(verb, n, at, path)
		reply := struct {
			Err   string
			Value any
		}{Value: value}
		if err != nil {
			reply.Err = err.Error()
		}
		if out.Encode(reply) != nil {
			return 1
		}
	}
	return 0
}

func cast(name string, args []string) (role, error) {
	if name == "server" {
		cfg := natsd.Config{}
		if len(args) > 0 {
			cfg.StoreDir = args[0]
		}
		s, err := natsd.Start(cfg)
		return server{s}, err
	}
	if name == "starter" {
		return &starter{}, nil
	}
	nc, err := nats.Connect(args[0])
	if err != nil {
		return nil, err
	}
	if name == "client" {
		return &client{nc: nc}, nil
	}
	if name == "echo" {
		_, err = nc.Subscribe("bench.echo", func(m *nats.Msg) { _ = m.Respond(m.Data) })
		return &client{nc: nc}, errors.Join(err, nc.Flush())
	}
	switch name {
	case "queuer":
		return newQueuer(nc)
	case "taker":
		return newTaker(nc, args[1:])
	case "hive":
		return newHive(nc, args[1:])
	case "crowd":
		return newCrowd(args)
	}
	if name == "contract" {
		c, err := newContract(nc, args[1])
		return c, errors.Join(err, nc.Flush())
	}
	s := &starter{}
	_, err = nc.Subscribe("bench.start", func(m *nats.Msg) { go s.serve(m) })
	return s, errors.Join(err, nc.Flush())
}

type server struct{ *natsd.Server }

func (s server) answer(verb string, _, _ int, _ string) (any, error) {
	if verb == "live" {
		return live(), nil
	}
	return s.URL(), nil
}
func (s server) end() { s.Shutdown() }

// starter starts bare processes, with nothing around the start, as the floor.
type starter struct {
	mu      sync.Mutex
	started []int // pids
}

func (s *starter) answer(verb string, n, at int, path string) (any, error) {
	switch verb {
	case "start":
		return measure(n, at, func() error { return s.start(path) })
	case "exit":
		return s.exits(n, path)
	case "kill":
		s.end()
	}
	return true, nil
}

func (s *starter) start(path string) error {
	p, err := os.StartProcess(path, []string{path}, &os.ProcAttr{Files: []*os.File{nil, nil, nil}, Env: []string{}})
	if err != nil {
		return err
	}
	s.remember(p.Pid)
	return p.Release() // its pid is enough to end it, and its pidfd would make every later start dearer
}

func (s *starter) remember(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, pid)
}

// exits starts n processes and measures how long each takes to end, from SIGTERM on. The starter must have no others.
func (s *starter) exits(n int, path string) (sample, error) {
	defer s.end()
	var pidfds []int
	defer func() {
		for _, pidfd := range pidfds {
			_ = unix.Close(pidfd)
		}
	}()
	for range n {
		if err := s.start(path); err != nil {
			return sample{}, err
		}
	}
	for _, pid := range s.started {
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return sample{}, fmt.Errorf("open process %d: %w", pid, err)
		}
		pidfds = append(pidfds, pidfd)
	}
	left := pidfds
	return measure(n, 1, func() error {
		ends := []unix.PollFd{{Fd: int32(left[0]), Events: unix.POLLIN}}
		left = left[1:]
		if err := unix.PidfdSendSignal(int(ends[0].Fd), unix.SIGTERM, nil, 0); err != nil {
			return err
		}
		for {
			if _, err := unix.Poll(ends, -1); !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	})
}

// serve starts what the request names and answers: the least that anything like a hive must do.
func (s *starter) serve(m *nats.Msg) {
	if err := s.start(string(m.Data)); err != nil {
		refuse(m, err)
		return
	}
	_ = m.Respond(nil)
}

// refused is the header of an answer that says what failed.
const refused = "Bench-Refused"

func refuse(m *nats.Msg, err error) {
	_ = m.RespondMsg(&nats.Msg{Header: nats.Header{refused: {err.Error()}}})
}

func (s *starter) end() {
	for _, pid := range s.started {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range s.started {
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
	s.started = nil
}

// measure calls act n times, at many at once.
func measure(n, at int, act func() error) (sample, error) {
	s := sample{Each: make([]time.Duration, n)}
	var next atomic.Int64
	var group sync.WaitGroup
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	begin := time.Now()
	for range at {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				start := time.Now()
				if err := act(); err != nil {
					cancel(err)
				}
				s.Each[i] = time.Since(start)
			}
		})
	}
	group.Wait()
	s.All = time.Since(begin)
	return s, context.Cause(ctx)
}
