// Package spawner does what a job asks for on this machine: from the device to the worker, its binary, its port, its
// process, and the proof that it runs. It knows no NATS.
//
// [Spawner.Spawn] is the whole story; each of its steps is one call and one narration event. What it must remember, it
// leaves to the kernel and to the run directory (package process), so that it can be killed at any instant.
package spawner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/rbee-keeper/hive/internal/fault"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/catalog"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/devtree"
	"github.com/rbee-keeper/hive/spawner/process"
)

// Spawner starts workers. Its methods may be called from several goroutines at once.
type Spawner struct {
	cfg     Config
	run     *process.RunDir
	ports   *process.Ports
	catalog *catalog.Catalog
	devices *device.Finder
	env     []string          // that every worker gets
	own     map[string]string // the hive's, of which a manifest may pass some on
	watcher *process.Watcher
	updater *devtree.Updater // of development builds; nil if they are not kept up to date
	builds  builds
	records records
	watched watched
	groups  groups    // none, unless they are wanted
	looks   sync.Pool // of *machine
	found   process.Found
	deletes deletes
	starts  atomic.Int64
	ends    chan struct{} // a place for each end that is being written down

	quit            chan struct{} // closed by Close
	closing         sync.Once
	saidUnsupported bool // of upkeep alone
	devicesSaid     atomic.Pointer[string]
}

// New returns a spawner that watches the workers which an earlier one left running. The error says which setting is
// wrong: an id, or a directory that cannot be used.
func New(cfg Config) (*Spawner, error) {
	if err := messages.CheckID(cfg.HiveID); err != nil {
		return nil, fmt.Errorf("hive id: %w", err)
	}
	cfg = cfg.withDefaults()
	if err := messages.CheckQueenURL(cfg.QueenURL); err != nil {
		return nil, fmt.Errorf("queen url: %w", err)
	}
	if err := cfg.KeepLog.Check(); err != nil {
		return nil, err
	}
	run, err := process.OpenRunDir(cfg.RunDir)
	if err != nil {
		return nil, err
	}
	if err := run.Belong(cfg.HiveID); err != nil {
		return nil, err
	}
	if cfg.LogDir, err = makeLogDir(cfg.LogDir); err != nil {
		return nil, err
	}
	env, err := environment(os.Environ(), cfg.PassEnv)
	if err != nil {
		return nil, err
	}
	s := &Spawner{cfg: cfg, run: run, ports: run.Ports(cfg.Ports), env: env, own: ownVariables(os.Environ()), watcher: process.NewWatcher(), quit: make(chan struct{}), ends: make(chan struct{}, endsAtOnce)}
	if s.updater, err = newUpdater(cfg); err != nil {
		s.watcher.Close()
		return nil, err
	}
	if cfg.Groups {
		if s.groups, err = openGroups(cfg.HiveID, run.Path()); err != nil {
			cfg.Logger.Warn("workers get no control groups of their own", "err", err)
		}
	}
	if cfg.CatalogDir != "" {
		s.catalog = catalog.Open(cfg.CatalogDir)
	}
	s.devices = device.NewFinder(cfg.Devices)
	s.devices.Refresh(0) // so that it is known by the time that a job asks
	s.adopt()
	s.sweep()
	s.sweepGroups()
	s.watcher.Go(s.upkeep)
	s.watcher.Go(s.warmCatalog)
	return s, nil
}

// Close ends the watch of the workers and the builds at work, and waits for that; the workers go on.
func (s *Spawner) Close() error {
	s.closing.Do(func() { close(s.quit) })
	if s.updater != nil {
		s.updater.Close()
	}
	if s.watcher != nil {
		s.watcher.Close()
	}
	s.devices.Close()
	return nil
}

func makeLogDir(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		err = os.MkdirAll(abs, 0o750)
	}
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs) // the kernel names open files by their real paths
	}
	if err == nil {
		err = checkPrivate(abs)
	}
	if err != nil {
		return "", fmt.Errorf("log directory: %w; name another with --log-dir", err)
	}
	return abs, nil
}

// checkPrivate returns an error if others than the owner can write the directory.
func checkPrivate(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return binary.CheckPrivate(dir, info.Mode())
}

// Spawn starts the worker that job asks for, tells each step to emit, and returns when the process runs and has been
// watched, or is ready if the job waits for that. It calls waiting when the process runs and only time is left to pass, and
// before that when it waits for a development build: then it calls what that returned before it goes on. The job must be valid
// and carry its job, hive and worker ids.
//
// A job that has been run before starts nothing: it gets the same answer again. Every error is a [*messages.Error]. When
// ctx ends, the process that was started goes on and Spawn answers with what is known of it by then.
func (s *Spawner) Spawn(ctx context.Context, job messages.Job, emit func(messages.Event), waiting Waiting) (messages.Result, error) {
	tell, slot := story{job: job, emit: emit}, &slot{waiting: waiting}
	claim, prior, err := s.claim(ctx, job, tell, slot)
	if err != nil {
		return messages.Result{}, err
	}
	if prior != nil {
		slot.giveBack()
		return s.replay(ctx, job, *prior, tell)
	}
	defer claim.Abandon()
	defer s.builds.end(job)
	fault.Point("spawner-locked")

	port, err := s.takePort(job.Port)
	if err != nil {
		tell.start(job.Port)
		return messages.Result{}, err
	}
	defer port.Release()
	fault.Point("spawner-ported")
	tell.start(port.Number)

	worker, err := typeOf(job)
	if err != nil {
		return messages.Result{}, err
	}
	tell.typeDetermined(worker)
	if err := s.checkDevice(ctx, job, tell); err != nil {
		return messages.Result{}, err
	}

	found, skipped, err := s.locate(ctx, job, worker)
	tell.binarySkipped(skipped)
	found, err = s.upToDate(ctx, job, worker, found, err, tell, slot)
	if err != nil {
		return messages.Result{}, err
	}
	defer found.program.Close()
	tell.binaryFound(found)

	cmd, terms, err := s.command(ctx, job, found, strconv.Itoa(port.Number))
	if err != nil {
		return messages.Result{}, err
	}
	tell.command(cmd)
	fault.Point("spawner-chosen")

	run, err := s.start(ctx, entry{Job: job, Result: s.result(job, worker, found, cmd, port.Number), Terms: terms}, found, cmd, claim, port)
	if err != nil {
		return messages.Result{}, err
	}
	s.builds.end(job) // whoever waits for it finds the process
	slot.giveBack()
	s.sweepSometimes()
	s.watch(ctx, run)
	fault.Point("spawner-watched")
	if run.ended() {
		return messages.Result{}, s.exited(run, tell)
	}
	tell.spawned(run.record.Result)
	return s.settle(ctx, job, run, tell)
}

// unexpected turns an error that no job is to blame for into an answer. What the system has no room for now, it may have
// later.
func unexpected(act string, err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return messages.Errorf(messages.UnsupportedPlatform, "%s: %w", act, err)
	}
	code, short := messages.Internal, binary.Retryable(err) || errors.Is(err, syscall.ENOSPC)
	if short {
		code = messages.SpawnFailed
	}
	e := messages.Errorf(code, "%s: %w", act, err)
	e.Retryable = short
	return e
}
