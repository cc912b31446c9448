package device

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

const (
	// Fresh is how old an answer may be that somebody waits for who asks what there is now: nvidia-smi takes from 20 ms to
	// seconds, has the driver take its locks, and is asked by every dashboard.
	Fresh = 10 * time.Second
	// refreshAfter is how old an answer may be that a job is started by, before another is got behind its back. What is in
	// a machine changes with a screwdriver, or when a card falls off the bus.
	refreshAfter = time.Minute
	// smiTimeout is how long nvidia-smi may take. Without persistence mode the driver sets up every card first, which takes
	// eight of them more than five seconds.
	smiTimeout = 10 * time.Second
	// closePatience is how long [Finder.Close] waits for a look that does not end.
	closePatience = 2 * time.Second
)

// Config says how a [Finder] looks. The zero value looks at this machine.
type Config struct {
	// SMI is the program that is asked for NVIDIA's GPUs; empty means nvidia-smi of the PATH.
	SMI string
	// Driver is the directory where NVIDIA's driver shows its GPUs; empty means [DriverDir].
	Driver string
	// Dev is the directory of device files, whose names tell that there may be a GPU; empty means /dev.
	Dev string
	// Visible is the value of [EnvVisible] that bounds what jobs may name; nil means this process's own, if it has one.
	Visible *string
	// Timeout is how long SMI may take; 0 means 10 seconds.
	Timeout time.Duration
}

// Finder finds out what devices this machine has, and remembers it for a while. Its methods may be called from several
// goroutines at once: one look serves all who ask while it lasts, and nobody waits for it longer than they want to.
type Finder struct {
	cfg Config

	mu     sync.Mutex
	closed bool
	last   Report
	early  []Found // what was known at the beginning of a look, before nvidia-smi had answered
	flight *flight // the look that is under way; nil if none is

	kill  func(*exec.Cmd) // how a program is ended with what it has started
	grace time.Duration   // how long a program that was killed may take to be gone
	stuck *asked          // of the look alone: a program that could not be killed
}

// flight is one look. Its report is there when done is closed.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{}
	report Report
	began  time.Time
}

// NewFinder returns a finder that knows nothing yet and has started nothing.
func NewFinder(cfg Config) *Finder {
	if cfg.Driver == "" {
		cfg.Driver = DriverDir
	}
	if cfg.Dev == "" {
		cfg.Dev = "/dev"
	}
	if visible, ok := os.LookupEnv(EnvVisible); ok && cfg.Visible == nil {
		cfg.Visible = &visible
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = smiTimeout
	}
	return &Finder{cfg: cfg, kill: killGroup, grace: deathGrace}
}

// Close ends the look that is under way and waits for that, two seconds at most: a driver that hangs holds whoever reads
// from it. Who asks afterwards gets what is known.
func (f *Finder) Close() {
	f.mu.Lock()
	f.closed = true
	under := f.flight
	f.mu.Unlock()
	if under == nil {
		return
	}
	under.cancel()
	select {
	case <-under.done:
	case <-time.After(closePatience):
	}
}

// Look returns what this machine has, found at most maxAge ago or now. When ctx ends before that is known it returns what
// was known before, and says so among the problems.
func (f *Finder) Look(ctx context.Context, maxAge time.Duration) Report {
	f.mu.Lock()
	last := f.last
	if !last.At.IsZero() && time.Since(last.At) <= maxAge {
		f.mu.Unlock()
		return last
	}
	under := f.begin()
	f.mu.Unlock()
	if under == nil {
		return f.late(last, 0)
	}
	select {
	case <-under.done:
		return under.report
	case <-ctx.Done():
		return f.late(last, time.Since(under.began))
	}
}

// Under returns how long the look that is under way has taken so far; 0 if none is.
func (f *Finder) Under() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flight == nil {
		return 0
	}
	return time.Since(f.flight.began)
}

// Refresh has the devices looked for unless that was done at most maxAge ago. It waits for nothing.
func (f *Finder) Refresh(maxAge time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last.At.IsZero() || time.Since(f.last.At) > maxAge {
		f.begin()
	}
}

// Find returns what is known of a device. One that was there at the last look is answered for at once, however long ago
// that was. Otherwise it is looked for again, until ctx ends, unless that was done in the last [Fresh]. The error is a
// [*NotFoundError] if the machine does not have it, and an [*UnknownError] if nobody can tell.
func (f *Finder) Find(ctx context.Context, d Device) (Found, error) {
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	if found, ok := last.Find(d); ok {
		f.Refresh(refreshAfter)
		return found, nil
	}
	report := f.Look(ctx, Fresh)
	found, ok := report.Find(d)
	switch {
	case ok:
		return found, nil
	case report.Whole || d.Kind != CUDA:
		return Found{}, &NotFoundError{Device: d, Devices: report.Names()}
	}
	return Found{}, &UnknownError{Device: d, Why: report.Problem()}
}

// UUID returns the UUID of a device, so that a program can be given that card and no other. It is found as Find finds it,
// with its errors; an [*UnknownError] that says What also means that the device is there and has no UUID that is known.
func (f *Finder) UUID(ctx context.Context, d Device) (string, error) {
	found, err := f.Find(ctx, d)
	switch {
	case err != nil:
		return "", err
	case found.UUID != "":
		return found.UUID, nil
	case d.Kind != CUDA:
		return "", &UnknownError{Device: d, What: "UUID", Why: "only NVIDIA's GPUs have one"}
	}
	return "", &UnknownError{Device: d, What: "UUID", Why: "neither nvidia-smi nor the driver tells it"}
}

// begin returns the look that is under way, having begun one if there was none, or nil if the finder is closed. f.mu is
// held.
func (f *Finder) begin() *flight {
	if f.flight != nil || f.closed {
		return f.flight
	}
	ctx, cancel := context.WithCancel(context.Background()) // it outlives who asked first
	under := &flight{cancel: cancel, done: make(chan struct{}), began: time.Now()}
	f.flight = under
	go func() {
		defer close(under.done)
		defer cancel()
		under.report = f.guarded(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.last, f.flight = under.report, nil
	}()
	return under
}

// guarded looks, and makes a fault of its own a problem of the report.
func (f *Finder) guarded(ctx context.Context) (report Report) {
	defer func() {
		if broken := recover(); broken != nil {
			report = Report{Devices: []Found{{Device: Device{Kind: CPU}}}, At: time.Now()}
			report.trouble("the look itself broke: %v", broken)
		}
	}()
	return f.look(ctx)
}

// late returns what is known while a look takes too long: what was known before it or, if that was nothing, what a glance told.
func (f *Finder) late(last Report, waited time.Duration) Report {
	report := last
	report.Problems = slices.Clone(last.Problems)
	report.Whole = false
	if last.At.IsZero() {
		f.mu.Lock()
		report.Devices = f.early
		f.mu.Unlock()
		if report.Devices == nil {
			report.Devices = []Found{{Device: Device{Kind: CPU}}}
		}
		report.trouble("the driver has been asked for %s and has not answered yet", waited.Round(time.Millisecond))
		return report
	}
	report.trouble("the driver has been asked again for %s and has not answered yet; known from %s ago", waited.Round(time.Millisecond), time.Since(last.At).Round(time.Second))
	return report
}
