package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// How an end is shared out, so that the process has gone within one second of its signal.
const (
	finishTime   = 300 * time.Millisecond // running completions may finish by themselves
	cutTime      = 200 * time.Millisecond // then they are told to stop and say so to their clients
	farewellTime = 400 * time.Millisecond // meanwhile the stopped heartbeat is sent
)

// errStopping is why a completion ends early when the worker is told to stop.
var errStopping = errors.New("the worker is stopping")

// worker is one running worker: what it was told, what it is, and what it answers with.
type worker struct {
	config    config
	port      int // the one it listens on, never 0
	pid       int
	hostname  string
	started   time.Time
	status    *status
	generator *generator
	log       *slog.Logger
	program   string // what it calls itself
	waiting   string // what it answers to requests while it does not serve

	now   func() time.Time
	newID func() string // ids of completions
}

func newWorker(cfg config, address net.Addr, log *slog.Logger) *worker {
	hostname, err := os.Hostname()
	if err != nil {
		log.Warn("host name unknown, heartbeats carry none", "err", err)
	}
	port := cfg.port
	if tcp, ok := address.(*net.TCPAddr); ok {
		port = tcp.Port
	}
	w := &worker{
		config: cfg, port: port, pid: os.Getpid(), hostname: hostname, started: time.Now(),
		status: newStatus(), generator: newGenerator(), program: implementation,
		waiting: "the model is loading; ask /health until it answers 200",
		now:     time.Now, newID: func() string { return "chatcmpl-" + rand.Text() },
	}
	w.log = log.With("worker", cfg.workerID, "device", cfg.device, "pid", w.pid, "port", w.port)
	return w
}

// listen opens the port. Its error names the address and, for a taken port, what to do.
func listen(ctx context.Context, host string, port int) (net.Listener, error) {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	// Windows has its own number for this error, which package syscall does not name.
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.Errno(10048)) {
		return nil, fmt.Errorf("port %d is in use: %s is held by another program; stop it or pass another --port", port, address)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w; check --host and --port", address, err)
	}
	return listener, nil
}

// serve runs the worker until ctx ends or its listener fails, which is the only error. It returns when heartbeats
// and loading have ended and the connections are closed.
func (w *worker) serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	server := w.server(requests, w.handler())
	heart := newHeart(w)

	served := make(chan error, 1)
	var group sync.WaitGroup
	group.Go(func() { served <- server.Serve(listener) })
	w.log.Info("worker listening", "addr", listener.Addr().String(), "model", w.config.model, "version", workerVersion())
	group.Go(func() { heart.run(ctx) })
	group.Go(func() { w.load(ctx) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	cancel()
	w.status.stop()
	w.log.Info("worker stopping")
	drain(context.WithoutCancel(ctx), server, cut)
	group.Wait()
	w.log.Info("worker stopped")
	return err
}

// load stands for loading a model: it takes the load time, and then the worker serves.
func (w *worker) load(ctx context.Context) {
	if pause(ctx, w.config.loadTime) == nil && w.status.ready() {
		w.log.Info("worker ready", "took", w.now().Sub(w.started).Round(time.Millisecond))
	}
}

// drain closes the listener at once, lets completions finish, then cuts them, then closes what is left.
func drain(ctx context.Context, server *http.Server, cut context.CancelCauseFunc) {
	if shutdown(ctx, server, finishTime) == nil {
		return
	}
	cut(errStopping)
	if shutdown(ctx, server, cutTime) != nil {
		_ = server.Close() // a client that does not read, or never sent its request
	}
}

func shutdown(ctx context.Context, server *http.Server, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return server.Shutdown(ctx)
}

// pause waits for d and returns nil, or returns why ctx ended before.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
