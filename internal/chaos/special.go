//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/internal/netfault"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// prepare makes what is special about a round.
func (st *stage) prepare(ctx context.Context, p plan) error {
	var err error
	if p.lossy {
		if st.network, err = netfault.New(st.address()); err != nil {
			return err
		}
	}
	if p.attempts > 0 {
		st.attempts = p.attempts
		if err := st.makeConsumer(ctx); err != nil {
			return err
		}
	}
	switch p.kind {
	case inVain: // there is one port, and somebody has it
		st.env = append(st.env, fmt.Sprintf("RBEE_PORT_RANGE=%d-%d", st.ports.first, st.ports.first))
		return st.squat(st.ports.first)
	case building:
		st.edits, err = st.makeTree()
	}
	return err
}

// squat listens on a port and is ready there, as a worker is.
func (st *stage) squat(port int) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.squats = append(st.squats, listener)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	return nil
}

// squatAside listens on the ports of those jobs that are to meet somebody else there, each as soon as its worker runs. The function that it
// returns waits until nobody looks for that any more, which ends with ctx.
func (st *stage) squatAside(ctx context.Context, all []job) (done func()) {
	var group sync.WaitGroup
	for _, j := range all {
		if !j.squat {
			continue
		}
		group.Go(func() {
			for {
				starts, _ := st.starts()
				for _, s := range starts {
					if s.job == j.id {
						_ = st.squat(st.ports.reserved(j.port)) // if that fails, so does the round
						return
					}
				}
				if wait(ctx, 2*time.Millisecond) != nil {
					return
				}
			}
		})
	}
	return group.Wait
}

// breakNetwork does what a fault is to the connections of all hives.
func (st *stage) breakNetwork(f fault) {
	switch f {
	case cut:
		st.network.Cut()
	case halved:
		st.network.HalfClose(netfault.Up)
	case held:
		st.network.Hold(netfault.Both)
		return
	}
	st.died(true) // what is on its way is lost as with a server that dies
}

// ask asks for a job until it has an answer that is no wish to be asked later, and keeps what the caller is told.
func (st *stage) ask(ctx context.Context, j job) error {
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		asks := st.spawn(j)
		asks.Deadline = time.Now().Add(patience) // one that the hive comes to, however late, is started for who asks again
		result, err := st.queen.Spawn(once, hiveID, asks, nil)
		cancel()
		failure, failed := errors.AsType[*messages.Error](err)
		_, away := errors.AsType[*queen.NoHiveError](err)
		_, silent := errors.AsType[*queen.NoAnswerError](err)
		switch {
		case err == nil || failed && !failure.Retryable:
			st.mu.Lock()
			st.told[j.id] = result
			st.mu.Unlock()
			return nil
		case !failed && !away && !silent && ctx.Err() == nil && once.Err() == nil:
			return fmt.Errorf("ask for job %s: %w", j.id, err)
		}
		if wait(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("ask for job %s: %w", j.id, err)
		}
	}
}

// checkTold requires that who asked for a job was told what its result is.
func (st *stage) checkTold(ctx context.Context, all []job) (wrong []string) {
	for _, j := range all {
		if !j.asked {
			continue
		}
		told := st.told[j.id]
		known, err := st.queen.Job(ctx, hiveID, j.id)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s was asked for and has no result: %v", j.id, err))
			continue
		}
		if kept, _ := messages.DecodeResult(known.Answer); kept.PID != told.PID || kept.Port != told.Port {
			wrong = append(wrong, fmt.Sprintf("%s: who asked was told %+v; the stream has %s", j.id, told, known.Answer))
		}
	}
	return wrong
}

// checkClashes requires that no two workers of one id ever lived at once.
func (st *stage) checkClashes() []string {
	data, err := os.ReadFile(filepath.Join(st.path("work"), "clashes"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return []string{fmt.Sprintf("two workers of one id lived at once: %s (%v)", data, err)}
}
