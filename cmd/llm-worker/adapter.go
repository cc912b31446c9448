package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/internal/backend"
)

// guardArgument is the first argument of this program when it guards a backend.
const guardArgument = "--guard-of-a-backend"

// mostPorts is how many ports are tried for a backend, each of which somebody else took first.
const mostPorts = 5

// adapter is a worker that stands for another server, which it starts:
//
//	adapter.serve   until SIGTERM, SIGINT, the end of the backend, or a failure
//	├─ http.Server  health, info; /v1/ is passed on
//	├─ adapter.keep a free port → start → starting ⇄ ready, as its health says
//	└─ heart.run    heartbeats; its last one says stopped
type adapter struct {
	*worker
	proxy http.Handler

	mu    sync.Mutex
	child *backend.Backend // nil before it was started
	at    int              // its port
}

// endError is the end of a backend that nobody asked for.
type endError struct {
	name   string
	exit   backend.Exit
	cause  error // nil: by itself
	after  time.Duration
	served bool
}

func (e *endError) Error() string {
	text := fmt.Sprintf("the backend %s %s after %s", e.name, e.exit, e.after.Round(time.Millisecond))
	if !e.served {
		text += ", before it served"
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text + "; what it printed stands above"
}

func newAdapter(w *worker) *adapter {
	w.program = implementation + "+" + w.config.backend.name()
	w.waiting = "the backend does not serve yet, or not for the moment; ask /health until it answers 200"
	a := &adapter{worker: w}
	a.proxy = a.newProxy()
	return a
}

// where returns the backend's process id and port, 0 where there is none yet.
func (a *adapter) where() (pid, port int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.child == nil {
		return 0, a.at
	}
	return a.child.PID(), a.at
}

// serve runs the adapter and its backend until ctx ends, the listener fails, or the backend ends, which is an endError. It
// returns when nothing of the backend is left.
func (a *adapter) serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	server := a.server(requests, a.handler())
	heart := newHeart(a.worker)

	ended := make(chan error, 2)
	var group sync.WaitGroup
	group.Go(func() { ended <- fmt.Errorf("serve %s: %w", listener.Addr(), server.Serve(listener)) })
	a.log.Info("worker listening", "addr", listener.Addr().String(), "model", a.config.model, "version", workerVersion(), "backend", a.config.backend.path)
	group.Go(func() { heart.run(ctx) })
	kept := make(chan struct{})
	group.Go(func() {
		defer close(kept)
		if err := a.keep(ctx); err != nil {
			ended <- err
		}
	})

	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	cancel()
	a.status.stop()
	a.log.Info("worker stopping")
	_ = shutdown(context.WithoutCancel(ctx), server, finishTime) // no new request; what is nearly done may finish
	a.end()
	<-kept
	a.end() // one that was started meanwhile
	a.await()
	if shutdown(context.WithoutCancel(ctx), server, cutTime) != nil {
		cut(errStopping)
		_ = server.Close()
	}
	group.Wait()
	a.log.Info("worker stopped")
	return err
}

// end asks the backend to end.
func (a *adapter) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.child != nil {
		a.child.End()
	}
}

// await waits until nothing of the backend is left, and says what it took.
func (a *adapter) await() {
	if a.child == nil {
		return
	}
	<-a.child.Done()
	exit, _ := a.child.Exit()
	switch {
	case exit.Left > 0:
		a.log.Error("processes of the backend cannot be killed", "processes", exit.Left)
	case exit.Killed > 0:
		a.log.Warn("backend killed, it did not end in time", "processes", exit.Killed, "grace", a.config.backend.grace)
	}
}

// keep starts the backend, on another port if somebody took the first, and keeps the status true until ctx or the backend
// ends. It returns nil when ctx ended first.
func (a *adapter) keep(ctx context.Context) error {
	for range mostPorts {
		began := time.Now()
		port, err := a.start()
		if err != nil {
			return fmt.Errorf("start the backend %s: %w", a.config.backend.name(), err)
		}
		served, err := a.attend(ctx, newProbe(a.config.backend, a.child, port))
		if err == nil {
			return nil
		}
		if errors.Is(err, errForeign) {
			a.child.End()
		}
		<-a.child.Done()
		if served && errors.Is(err, errForeign) {
			return fmt.Errorf("the backend %s does not listen any more: %w", a.config.backend.name(), err)
		}
		exit, cause := a.child.Exit()
		if served || cause != nil || (!errors.Is(err, errForeign) && !backend.Taken(port)) {
			return &endError{name: a.config.backend.name(), exit: exit, cause: cause, after: time.Since(began), served: served}
		}
		a.log.Warn("another program took the backend's port first; trying another", "backend_port", port)
	}
	return fmt.Errorf("the backend %s found its port taken %d times in a row: does it listen on the port that it is told?", a.config.backend.name(), mostPorts)
}

// start starts the backend on a free port.
func (a *adapter) start() (port int, err error) {
	if port, err = backend.FreePort(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	command, err := a.config.backend.command(a.config, port, os.Environ())
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	command.Guard = []string{self, guardArgument}
	child, err := backend.Start(command)
	if err != nil {
		return 0, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.child, a.at = child, port
	a.log.Info("backend started", "backend_pid", child.PID(), "backend_port", port)
	return port, nil
}

// errEnded says that the backend has ended.
var errEnded = errors.New("the backend has ended")

// attend keeps the status true until ctx ends, or the backend does, which is errEnded, or another program answers in its
// place, which is errForeign. served says that it served at some time.
func (a *adapter) attend(ctx context.Context, p *probe) (served bool, err error) {
	asking, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	group.Go(func() {
		select {
		case <-p.child.Done():
			stop()
		case <-asking.Done():
		}
	})
	silences := 0
	for delay := firstProbe; ; {
		if err = pause(asking, delay); err == nil {
			err = p.ask(asking)
		}
		if ctx.Err() != nil {
			return served, nil
		}
		if asking.Err() != nil {
			return served, errEnded
		}
		serving := a.status.serving()
		switch {
		case err == nil && !serving && a.status.ready():
			if served {
				a.log.Info("backend serves again")
			} else {
				a.log.Info("worker ready", "took", a.now().Sub(a.started).Round(time.Millisecond), "proven", !p.blind)
			}
			served = true
		case errors.Is(err, errForeign):
			a.status.falter()
			return served, err
		case errors.Is(err, errSilent) && serving:
			if silences++; silences < silenceLimit || a.status.running() > 0 {
				continue
			}
			a.faltered(err)
		case err != nil && serving:
			a.faltered(err)
		}
		silences = 0
		if delay = min(2*delay, lastProbe); a.status.serving() {
			delay = probeEvery
		}
	}
}

func (a *adapter) faltered(err error) {
	a.status.falter()
	a.log.Error("backend does not serve any more", "err", err)
}
