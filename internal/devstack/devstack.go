// Package devstack runs a whole fleet of one machine in this process: a NATS server, a queen's registry over HTTP, and one
// hive.
//
// `rbee dev` and `rbee demo` stand on it. Only the workers are processes of their own, and they outlive it: what they need
// is in the state directory, where the next [Start] finds them again.
package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// Config says how to start a [Stack]. Dir is required; the zero value of everything else works.
type Config struct {
	// Dir is the state directory: NATS streams, installed workers, locks, logs. It is made if it is not there.
	Dir string
	// HiveID is the hive's id; empty means "local".
	HiveID string
	// Version is the hive's version as discovery shows it; empty means "dev".
	Version string
	// Subjects names the subjects; the zero value uses [messages.DefaultPrefix].
	Subjects messages.Subjects
	// NATSPort and QueenPort are the ports to listen on, on 127.0.0.1; 0 means a free one.
	NATSPort, QueenPort int
	// Ports is the range of the workers' ports; zero means 9001 to 9999.
	Ports PortRange
	// DevRoot is a development tree. The hive takes its workers from there alone, and builds those that are older than their
	// sources; empty means that it takes them from the state directory.
	DevRoot string
	// PassEnv names variables of this process that workers get besides the usual ones.
	PassEnv []string
	// Logger takes the log of all parts; nil discards it.
	Logger *slog.Logger
}

// Stack is a running fleet of one machine.
type Stack struct {
	cfg      Config
	unlock   func()
	nats     *natsd.Server
	registry *queen.Registry
	queenURL string
	http     *task
	hive     *hive
}

// CatalogDir returns where the workers of the state directory dir are installed.
func CatalogDir(dir string) string { return filepath.Join(dir, "workers") }

// Start starts a fleet and returns once its hive takes jobs. If a part cannot start, those before it are stopped. A port
// that is taken is an error that [PortTaken] knows; a directory in which another fleet runs is [ErrInUse].
func Start(ctx context.Context, cfg Config) (*Stack, error) {
	cfg = cfg.withDefaults()
	for _, dir := range []string{cfg.Dir, CatalogDir(cfg.Dir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
	}
	unlock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Stack{cfg: cfg, unlock: unlock, registry: queen.NewRegistry(queen.RegistryConfig{Logger: cfg.Logger})}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (c Config) withDefaults() Config {
	c.HiveID = cmp.Or(c.HiveID, "local")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// start starts the parts in the order in which they need each other.
func (s *Stack) start(ctx context.Context) error {
	var err error
	s.nats, err = natsd.Start(natsd.Config{Port: s.cfg.NATSPort, StoreDir: filepath.Join(s.cfg.Dir, "nats")})
	if err != nil {
		return err
	}
	if err := s.applyStreams(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.cfg.QueenPort)))
	if err != nil {
		return fmt.Errorf("start queen: %w", err)
	}
	s.queenURL = "http://" + listener.Addr().String()
	s.http = startTask(ctx, func(ctx context.Context) error { return ServeHTTP(ctx, listener, s.registry) })
	return s.StartHive(ctx)
}

// applyStreams makes the streams of queued jobs. Streams of an earlier run that keep more stay as they are.
func (s *Stack) applyStreams(ctx context.Context) error {
	nc, err := nats.Connect(s.nats.URL(), nats.Name("rbee streams"))
	if err != nil {
		return fmt.Errorf("make streams: %w", err)
	}
	defer nc.Close()
	_, err = queen.New(nc, queen.Config{Subjects: s.cfg.Subjects}).Apply(ctx, queen.StreamsConfig{}, false)
	if narrow, ok := errors.AsType[*queen.NarrowError](err); ok {
		s.cfg.Logger.Warn("streams are left as they are", "err", narrow)
		return nil
	}
	if err != nil {
		return fmt.Errorf("make streams: %w", err)
	}
	return nil
}

// NATSURL returns the URL of the NATS server.
func (s *Stack) NATSURL() string { return s.nats.URL() }

// QueenURL returns the URL of the queen's registry.
func (s *Stack) QueenURL() string { return s.queenURL }

// HiveID returns the id of the hive.
func (s *Stack) HiveID() string { return s.cfg.HiveID }

// Registry returns what the queen knows of the workers.
func (s *Stack) Registry() *queen.Registry { return s.registry }

// Wait returns nil when ctx ends, or the error of the part that ended by itself before.
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.http.done:
		return fmt.Errorf("queen ended: %w", s.http.err)
	case <-s.hive.task.done:
		return fmt.Errorf("hive ended: %w", s.hive.task.err)
	}
}

// Stop stops the hive, the queen and the server and returns once all have ended. Workers go on. Calling it again does
// nothing.
func (s *Stack) Stop() error {
	err := s.StopHive()
	if s.http != nil {
		err = errors.Join(err, s.http.stop())
	}
	if s.nats != nil {
		s.nats.Shutdown()
	}
	s.unlock()
	return err
}

// ServeHTTP serves handler on listener until ctx ends, bounds what a client may take, and returns when requests have
// ended. The end of ctx is no error.
func ServeHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // a client that does not read, or never sent its request
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

// PortTaken reports whether err says that a port is taken.
func PortTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.Errno(10048))
}

// task is a part that runs in a goroutine until it is stopped.
type task struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	err    error         // how; read it once done is closed
}

// startTask runs f, which outlives parent but keeps its values.
func startTask(parent context.Context, f func(context.Context) error) *task {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	t := &task{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		t.err = f(ctx)
	}()
	return t
}

// stop ends the task and returns how it ended.
func (t *task) stop() error {
	t.cancel()
	<-t.done
	return t.err
}
