package queen

import (
	"cmp"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// RegistryConfig holds the settings of a [Registry]. The zero value works.
type RegistryConfig struct {
	// StaleAfter is the silence after which a worker is [StateStale]; 0 means 90 s, three missed heartbeats.
	StaleAfter time.Duration
	// GoneAfter is the silence after which a worker is [StateGone]; 0 means 10 min.
	GoneAfter time.Duration
	// ForgetAfter is the silence after which a worker is removed, whatever its state; 0 means 1 h.
	ForgetAfter time.Duration
	// MaxWorkers bounds the workers that are kept, so that nobody can fill the memory; 0 means 10,000. Past it, workers
	// that are not known yet are refused.
	MaxWorkers int
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Logger is told of workers that come and change; nil means nobody is.
	Logger *slog.Logger
}

// State is what a registry knows of a worker: what it last said of itself, unless it has been silent for too long.
type State string

// The states. A silent worker becomes stale, then gone, then is forgotten; one that stopped has a reason to be silent
// and stays stopped.
const (
	StateStarting State = State(messages.StatusStarting)
	StateReady    State = State(messages.StatusReady)
	StateBusy     State = State(messages.StatusBusy)
	StateStopped  State = State(messages.StatusStopped)
	// StateStale means that heartbeats are missing: send it no work.
	StateStale State = "stale"
	// StateGone means that it has been silent for so long that it must be taken for dead.
	StateGone State = "gone"
)

// Worker is what a registry knows of one worker.
type Worker struct {
	// WorkerInfo is what the worker last said of itself.
	messages.WorkerInfo
	// State is what the registry makes of that and of the time since.
	State State `json:"state"`
	// FirstHeartbeat is when this process was first heard, on the registry's clock, in UTC.
	FirstHeartbeat time.Time `json:"first_heartbeat"`
	// LastHeartbeat is when it was last heard, on the registry's clock, in UTC.
	LastHeartbeat time.Time `json:"last_heartbeat"`
	// AgeMS is how long ago that is, in milliseconds.
	AgeMS int64 `json:"age_ms"`
}

// Registry knows which workers live, from their heartbeats alone. It serves the HTTP paths that the package
// documentation lists, is safe for concurrent use, and starts no goroutine.
type Registry struct {
	cfg RegistryConfig
	mux *http.ServeMux

	mu      sync.Mutex
	entries map[string]*entry
	waiters map[*waiter]struct{}
}

// entry is the last accepted heartbeat of a worker.
type entry struct {
	messages.Heartbeat
	first, last time.Time // on the registry's clock
}

// NewRegistry returns an empty registry.
func NewRegistry(cfg RegistryConfig) *Registry {
	cfg.StaleAfter = cmp.Or(cfg.StaleAfter, 3*messages.HeartbeatInterval)
	cfg.GoneAfter = cmp.Or(cfg.GoneAfter, 10*time.Minute)
	cfg.ForgetAfter = cmp.Or(cfg.ForgetAfter, time.Hour)
	cfg.MaxWorkers = cmp.Or(cfg.MaxWorkers, 10_000)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Registry{cfg: cfg, entries: map[string]*entry{}, waiters: map[*waiter]struct{}{}}
	r.mux = r.routes()
	return r
}

// Workers returns every worker that is not forgotten, sorted by id.
func (r *Registry) Workers() []Worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	r.sweep(now)
	workers := make([]Worker, 0, len(r.entries))
	for _, e := range r.entries {
		workers = append(workers, r.view(e, now))
	}
	slices.SortFunc(workers, func(a, b Worker) int { return cmp.Compare(a.ID, b.ID) })
	return workers
}

// Worker returns one worker; false if none has that id or it is forgotten.
func (r *Registry) Worker(id string) (Worker, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(id)
}

// take records a heartbeat. It returns false if the registry is full and the worker new.
func (r *Registry) take(beat messages.Heartbeat) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	known := r.entries[beat.Worker.ID]
	if known == nil && !r.room(now) {
		return false
	}
	if known != nil && known.late(beat) {
		return true
	}
	e := &entry{Heartbeat: beat, first: now, last: now}
	if known != nil && known.sameProcess(beat.Worker) {
		e.first = known.first
	}
	r.entries[beat.Worker.ID] = e
	r.log(known, beat.Worker)
	r.wake(r.view(e, now))
	return true
}

// late reports whether a heartbeat was overtaken on its way by the one that e holds, so that it must not turn the worker
// back to what it was. Only clocks of one machine can be compared; and one that seems older than a whole interval tells of
// a clock that was set back, not of a slow network.
func (e *entry) late(beat messages.Heartbeat) bool {
	behind := e.Timestamp.Sub(beat.Timestamp)
	return e.Worker.Host == beat.Worker.Host && e.Worker.HiveID == beat.Worker.HiveID &&
		behind > 0 && behind <= messages.HeartbeatInterval
}

// sameProcess reports whether w is the process that e holds, not its successor under the same id.
func (e *entry) sameProcess(w messages.WorkerInfo) bool {
	return e.Worker.PID == w.PID && e.Worker.HiveID == w.HiveID && e.Worker.Host == w.Host
}

// room reports whether one more worker can be kept.
func (r *Registry) room(now time.Time) bool {
	if len(r.entries) >= r.cfg.MaxWorkers {
		r.sweep(now)
	}
	return len(r.entries) < r.cfg.MaxWorkers
}

// sweep removes the workers that are to be forgotten.
func (r *Registry) sweep(now time.Time) {
	for id, e := range r.entries {
		if now.Sub(e.last) >= r.cfg.ForgetAfter {
			delete(r.entries, id)
		}
	}
}

func (r *Registry) find(id string) (Worker, bool) {
	e, now := r.entries[id], r.cfg.Now()
	if e == nil || now.Sub(e.last) >= r.cfg.ForgetAfter {
		delete(r.entries, id)
		return Worker{}, false
	}
	return r.view(e, now), true
}

func (r *Registry) view(e *entry, now time.Time) Worker {
	silent := max(0, now.Sub(e.last))
	return Worker{
		WorkerInfo: e.Worker, State: r.state(e, silent),
		FirstHeartbeat: e.first.UTC(), LastHeartbeat: e.last.UTC(), AgeMS: silent.Milliseconds(),
	}
}

func (r *Registry) state(e *entry, silent time.Duration) State {
	switch {
	case e.Worker.Status == messages.StatusStopped:
		return StateStopped
	case silent >= r.cfg.GoneAfter:
		return StateGone
	case silent >= r.cfg.StaleAfter:
		return StateStale
	}
	return State(e.Worker.Status)
}

// log tells what changed against the entry before, which is nil for a new worker.
func (r *Registry) log(before *entry, w messages.WorkerInfo) {
	if before != nil && before.sameProcess(w) && before.Worker.Status == w.Status {
		return
	}
	log := r.cfg.Logger.With("worker", w.ID, "status", w.Status, "hive", w.HiveID, "device", w.Device, "port", w.Port, "pid", w.PID)
	switch {
	case before == nil:
		log.Info("worker registered")
	case !before.sameProcess(w):
		log.Info("worker replaced by another process")
	default:
		log.Info("worker changed its status")
	}
}
