// Package consumer serves the jobs of one hive over NATS.
//
// [Run] is the whole of it: it takes the jobs addressed to the hive, bounds how many are at work, has a [Spawner] run
// each, narrates, answers, and drains when it is told to stop. It knows no process: what a job does to the machine is
// the Spawner's matter.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// Spawner starts the workers that jobs ask for, finds them again, and ends them. Errors are [*messages.Error]; any other
// becomes messages.Internal. What it is given is valid and carries its job and hive ids; a spawn carries its worker id, too.
type Spawner interface {
	// Spawn starts the worker of job and returns when it runs or, if the job waits for that, when it is ready.
	//
	// It tells each step to emit, from any goroutine, except the last one: the consumer tells whether the job succeeded.
	// It calls waiting, as often as it likes or never, when only time is left to pass: the process runs, or its program is being
	// built. The job then makes room for the next one, and if there is more to do after that, Spawn calls what waiting returned,
	// before it begins. When ctx ends, the hive can wait no longer: Spawn returns as soon as it can.
	Spawn(ctx context.Context, job messages.Job, emit func(messages.Event), waiting Waiting) (messages.Result, error)
	// List returns a page of the workers.
	List(ctx context.Context, req messages.ListRequest) (messages.WorkerPage, error)
	// Get returns one worker.
	Get(ctx context.Context, req messages.GetRequest) (messages.WorkerAnswer, error)
	// Delete ends a worker and returns when nothing of it is left. It tells its steps as Spawn does.
	Delete(ctx context.Context, job messages.DeleteJob, emit func(messages.Event)) (messages.Deleted, error)
	// Logs returns a part of a worker's log.
	Logs(ctx context.Context, req messages.LogsRequest) (messages.Logs, error)
	// Catalog returns a page of the workers that are installed.
	Catalog(ctx context.Context, req messages.CatalogRequest) (messages.CatalogPage, error)
	// Explain returns what job would start, and starts nothing.
	Explain(ctx context.Context, job messages.Job) (messages.Plan, error)
}

// Waiting gives the slot of a job to the next one. What it returns takes one again: it waits until the job has one, before all jobs
// that have not begun, and its error is ctx's cause if that ends first. An alias, so that a Spawner need not import this package.
type Waiting = func() (goOn func(ctx context.Context) error)

// Config says how to serve a hive's jobs. HiveID is required; the zero value of everything else works.
type Config struct {
	// HiveID is the hive whose jobs are taken. It must be an id as [messages.CheckID] has it.
	HiveID string
	// Subjects names the subjects; the zero value uses [messages.DefaultPrefix].
	Subjects messages.Subjects
	// Version is the hive's version as discovery and narration show it; empty means "dev".
	Version string
	// MaxJobs is how many jobs may be at work at once; 0 or less means 4 per core. A job that only waits for its worker
	// (see [Spawner]) is not at work.
	MaxJobs int
	// MaxWaiting is how many jobs may stand in line behind those at work; 0 means 256, less means none: a job that finds
	// no free place is refused at once with hive_busy.
	MaxWaiting int
	// DrainTimeout is how long the jobs in flight may take to finish once the hive stops; 0 means 30 seconds, less means
	// no time at all. Past it their context is cancelled.
	DrainTimeout time.Duration
	// Queue says whether the hive takes the jobs of the work queue, too; empty means [QueueOff].
	Queue QueueMode
	// QueueLook is how long the hive waits until it looks again for a queue that is not there; 0 means 10 seconds.
	QueueLook time.Duration
	// Machine tells what jobs can name on this machine and what runs there; nil means that only the processor is known. It is
	// asked before the hive is discoverable, and for each hive_status: it should take no longer than people wait.
	Machine func(ctx context.Context) Machine
	// RunDir is a word for the run directory, so that two processes of the hive are told from two hives with its id; empty means
	// that discovery does not tell it.
	RunDir string
	// Logger takes the log; nil discards it.
	Logger *slog.Logger
	// Ready, if not nil, is called once: when the server has the hive's subscriptions, so that no job sent from then on
	// is missed.
	Ready func()
}

// Machine is how a hive's machine is at this moment.
type Machine struct {
	// Devices are the devices that jobs can name; "cpu" should be among them.
	Devices []messages.Device
	// Problem says what of the devices could not be found out; empty if all is known.
	Problem string
	// Workers is how many workers run.
	Workers int
}

// withDefaults returns cfg with its zero values replaced.
func (cfg Config) withDefaults() (Config, error) {
	if err := messages.CheckID(cfg.HiveID); err != nil {
		return Config{}, fmt.Errorf("hive id: %w", err)
	}
	if err := cfg.Queue.check(); err != nil {
		return Config{}, err
	}
	if cfg.QueueLook <= 0 {
		cfg.QueueLook = 10 * time.Second
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	if cfg.MaxJobs <= 0 {
		cfg.MaxJobs = 4 * runtime.NumCPU()
	}
	if cfg.MaxWaiting == 0 {
		cfg.MaxWaiting = 256
	}
	cfg.MaxWaiting = max(cfg.MaxWaiting, 0)
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 30 * time.Second
	}
	cfg.DrainTimeout = max(cfg.DrainTimeout, 0)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Machine == nil {
		cfg.Machine = func(context.Context) Machine {
			return Machine{Devices: []messages.Device{{Device: "cpu", Kind: "cpu"}}}
		}
	}
	if cfg.Ready == nil {
		cfg.Ready = func() {}
	}
	return cfg, nil
}

// Run serves the jobs of the hive until ctx is cancelled; then it drains and returns nil. While NATS is away at the start
// it waits. Later outages are nc's matter: the hive's subscription comes back with it, and a request that was lost in
// between runs into its caller's timeout.
//
// To drain is to refuse the jobs in line and all new ones with hive_draining, to let those in flight finish within
// cfg.DrainTimeout, and to flush what was said. Everything that Run started has ended when it returns, except a Spawn that
// goes on after its context ended: that is an error.
//
// Of the work queue, if cfg.Queue asks for it, jobs are pulled, each into a slot that was free before; so a hive that is
// busy leaves them to its other processes. They run as requests do, and their outcome is in the stream of results before they
// leave the queue. To drain is to pull no more of them; one that was pulled and has not begun goes back.
//
// Run returns an error if cfg is not valid, if the server denies the hive its jobs, if there is no queue and cfg requires one, or
// once nc is closed for good: no job can arrive any more and the process should end. The caller owns nc, sets its handlers before Run, and closes it after.
func Run(ctx context.Context, nc *nats.Conn, spawner Spawner, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	h := newHive(nc, spawner, cfg)
	if h.js, err = jetstream.New(nc, jetstream.WithPublishAsyncTimeout(keepTimeout)); err != nil {
		return err
	}
	defer h.js.CleanupPublisher()
	status := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(status)
	if err := h.flush(ctx, status); err != nil {
		return unlessDone(ctx, err)
	}

	rounds, rest := context.WithCancel(context.WithoutCancel(ctx))
	var courier sync.WaitGroup
	courier.Go(func() { h.courier.run(rounds) })
	defer courier.Wait()
	defer rest()

	jobs, interrupt := context.WithCancelCause(context.WithoutCancel(ctx))
	defer interrupt(nil)
	svc, err := h.subscribe(jobs)
	if err != nil {
		return err
	}
	err = h.serveUntilEnd(ctx, jobs, status)
	return errors.Join(unlessDone(ctx, err), h.drain(ctx, interrupt, svc))
}

// serveUntilEnd says that the hive is ready and returns when it must stop, with the reason.
func (h *hive) serveUntilEnd(ctx, jobs context.Context, status <-chan nats.Status) error {
	if err := h.flush(ctx, status); err != nil {
		return err
	}
	if err := h.denied(); err != nil {
		return err
	}
	if err := h.openQueue(ctx); err != nil {
		return err
	}
	h.sayStarted()
	if err := h.flush(ctx, status); err != nil { // whoever hears it listened before the hive was ready
		return err
	}
	h.Ready()
	h.startQueue(jobs)
	return h.awaitEnd(ctx, status)
}

// unlessDone returns err, or nil if it only says that ctx is done, which is how a hive is told to stop.
func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// hive is the state of one Run.
type hive struct {
	Config

	nc       *nats.Conn
	js       jetstream.JetStream
	queue    queue
	spawner  Spawner
	line     *line
	narrator *Narrator
	courier  *courier
	counts   counts

	tasks     *tasks
	questions chan struct{} // one for each question that is being answered
	began     time.Time

	// started is true once the hive said so; one that never did does not say that it stops. Run's goroutine alone uses it.
	started bool
}

func newHive(nc *nats.Conn, spawner Spawner, cfg Config) *hive {
	cfg.Logger = cfg.Logger.With("hive", cfg.HiveID)
	return &hive{
		Config: cfg, nc: nc, spawner: spawner, line: newLine(cfg.MaxJobs, cfg.MaxWaiting),
		narrator: NewNarrator(nc, cfg.Subjects, cfg.HiveID, cfg.Logger), courier: newCourier(),
		tasks: newTasks(cfg.MaxJobs), questions: make(chan struct{}, mostQuestions), began: time.Now(),
	}
}
