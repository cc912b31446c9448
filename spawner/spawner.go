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
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rbee-keeper/hive/internal/fault"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/catalog"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/devtree"
	"github.com/rbee-keeper/hive/spawner/logs"
	"github.com/rbee-keeper/hive/spawner/process"
)

// DefaultQueenURL is where workers send their heartbeats unless the hive or the job says otherwise.
const DefaultQueenURL = "http://localhost:8500"

// DefaultReadyTimeout bounds how long a job that waits for a ready worker waits, unless it says so itself. Loading a
// large model from a cold disk takes minutes.
const DefaultReadyTimeout = 10 * time.Minute

// Config says how a hive starts workers.
type Config struct {
	// HiveID is the hive's id. Required.
	HiveID string
	// RunDir is the directory of locks and records; it belongs on a tmpfs. Required.
	RunDir string
	// LogDir is the directory of the workers' logs. Required.
	LogDir string
	// CatalogDir is the directory of installed workers; empty means that there are none.
	CatalogDir string
	// DevRoot is the root of the Cargo workspace whose target directory is searched behind the catalog; empty means none.
	DevRoot string
	// Rebuild says how development builds are kept up to date; the zero value keeps none.
	Rebuild Rebuild
	// WorkDir is the working directory of the workers; empty means "/".
	WorkDir string
	// QueenURL is where workers send their heartbeats; empty means [DefaultQueenURL].
	QueenURL string
	// Ports is the range that a job's port 0 takes a free one of; zero means 9001 to 9999.
	Ports PortRange
	// Watch is how long a started process is watched before it counts as spawned; 0 means not at all. The watch ends
	// early once the worker listens on its port.
	Watch time.Duration
	// ReadyTimeout bounds a job that waits for a ready worker and does not say how long; 0 means [DefaultReadyTimeout].
	ReadyTimeout time.Duration
	// PassEnv names variables of the hive's own environment that workers get, besides the allow-list.
	PassEnv []string
	// DeviceUUID returns the UUID of the NVIDIA GPU with an index, for ${device_uuid} in manifests. Its error is told to the
	// job. Nil means what the driver of this machine tells.
	DeviceUUID func(ctx context.Context, index int) (string, error)
	// StopGrace is how long a worker that is deleted may take to end by itself; 0 means [process.DefaultGrace].
	StopGrace time.Duration
	// KeepLog says how much of a worker's log is kept; the zero policy keeps 3 times 64 MiB.
	KeepLog logs.Policy
	// KeepExited says which logs of workers that ended are kept; the zero retention keeps 200 for 7 days.
	KeepExited logs.Retention
	// KeepRecords is how long the record of a worker that ended is kept: as long, worker_get tells how it ended, and its job gets the
	// same answer again. 0 means [DefaultKeepRecords], less than 0 any time. Of more than 1000 only the newest are kept.
	KeepRecords time.Duration
	// SayLoading is how often a job that waits for a ready worker is told that it goes on loading; 0 means 5 seconds.
	SayLoading time.Duration
	// Devices says how the devices of this machine are found; the zero value asks this machine.
	Devices device.Config
	// Exited is told when a worker ends whose job has been answered; nil means nobody is. It is called from several
	// goroutines at once.
	Exited func(messages.Event)
	// Logger takes what no job can be told; nil means nothing is logged.
	Logger *slog.Logger
}

// PortRange is a range of TCP ports, both ends included. The zero value means 9001 to 9999.
type PortRange = process.PortRange

// ParsePortRange reads "FIRST-LAST" or a single port.
func ParsePortRange(text string) (PortRange, error) { return process.ParsePortRange(text) }

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
	looks   sync.Pool // of *machine
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
	if cfg.CatalogDir != "" {
		s.catalog = catalog.Open(cfg.CatalogDir)
	}
	s.devices = device.NewFinder(cfg.Devices)
	s.devices.Refresh(0) // so that it is known by the time that a job asks
	s.adopt()
	s.sweep()
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

func (c Config) withDefaults() Config {
	if c.WorkDir == "" {
		c.WorkDir = "/"
	}
	if c.QueenURL == "" {
		c.QueenURL = DefaultQueenURL
	}
	if c.ReadyTimeout == 0 {
		c.ReadyTimeout = DefaultReadyTimeout
	}
	if c.StopGrace == 0 {
		c.StopGrace = process.DefaultGrace
	}
	switch {
	case c.KeepRecords == 0:
		c.KeepRecords = DefaultKeepRecords
	case c.KeepRecords < 0:
		c.KeepRecords = math.MaxInt64
	}
	if c.SayLoading <= 0 {
		c.SayLoading = sayLoading
	}
	if c.Exited == nil {
		c.Exited = func(messages.Event) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
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
