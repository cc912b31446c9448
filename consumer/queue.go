package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// QueueMode says whether a hive takes the jobs that wait for it in the work queue, beside the requests.
type QueueMode string

const (
	// QueueOff asks nothing of JetStream: the hive serves requests and nothing else. So does the empty mode.
	QueueOff QueueMode = "off"
	// QueueAuto serves the queue while its stream is there, and looks for it again now and then while it is not.
	QueueAuto QueueMode = "auto"
	// QueueRequired is QueueAuto for a hive that must not start without its queue.
	QueueRequired QueueMode = "required"
)

// QueueModes lists the modes.
var QueueModes = []QueueMode{QueueAuto, QueueOff, QueueRequired}

func (m QueueMode) check() error {
	switch m {
	case "", QueueOff, QueueAuto, QueueRequired:
		return nil
	}
	return fmt.Errorf("queue mode %q: use auto, off or required", string(m))
}

const (
	// bindTimeout bounds each question about the queue.
	bindTimeout = 5 * time.Second
	// unavailable is the code of the server's errors that may be over soon.
	unavailable = 503
	// lessOften is how many times longer the hive waits where it may not ask.
	lessOften = 30
	// afterTrouble is how long the hive waits when the queue broke off, before it asks for jobs again.
	afterTrouble = time.Second
	// betweenTurns is how long the queue leaves the line to the requests once it had its turn and there was no job: each turn
	// costs a slot for a round trip.
	betweenTurns = 50 * time.Millisecond
	// storeLimit bounds how long a result is offered to its stream.
	storeLimit = 30 * time.Second
	// askTimeout bounds one question to the stream of results, and one answer to it.
	askTimeout = 3 * time.Second
	// ackTimeout bounds the acknowledgement of a job.
	ackTimeout = 3 * time.Second
)

// queue is the hive's side of the work queue.
type queue struct {
	src     atomic.Pointer[source] // where jobs come from; nil while they do not
	results atomic.Bool            // whether there is a stream of results, as far as is known
	doubts  atomic.Int32           // jobs of which it cannot be known now whether they were done before
	trouble string                 // what was said last; the pulling goroutine alone uses it
	had     bool                   // there was a queue once; likewise

	saidAlone atomic.Bool // that there is none

	mu      sync.Mutex
	stop    context.CancelFunc // nil until jobs are pulled
	pulling sync.WaitGroup
}

// name says where the hive's queued jobs wait, or "" if it takes none.
func (q *queue) name() string {
	if src := q.src.Load(); src != nil {
		return src.stream
	}
	return ""
}

// openQueue looks for the queue of a hive that must have one.
func (h *hive) openQueue(ctx context.Context) error {
	if h.Queue != QueueRequired {
		return nil
	}
	src, err := h.bind(ctx)
	if err != nil {
		return err
	}
	h.bound(src)
	return nil
}

// startQueue begins to pull jobs, which run under jobs, until quitQueue is called.
func (h *hive) startQueue(jobs context.Context) {
	if h.Queue == "" || h.Queue == QueueOff {
		return
	}
	h.queue.mu.Lock()
	defer h.queue.mu.Unlock()
	pulls, stop := context.WithCancel(context.WithoutCancel(jobs))
	h.queue.stop = stop
	h.queue.pulling.Go(func() { h.serveQueue(pulls, jobs) })
}

// quitQueue ends the pulling: no job is taken from the queue any more.
func (h *hive) quitQueue() {
	h.queue.mu.Lock()
	defer h.queue.mu.Unlock()
	if h.queue.stop != nil {
		h.queue.stop()
	}
}

// serveQueue pulls jobs until ctx ends. Whatever happens to the queue meanwhile, it goes on once that is over.
func (h *hive) serveQueue(ctx, jobs context.Context) {
	made := h.nc.StatusChanged(nats.CONNECTED)
	defer h.nc.RemoveStatusListener(made)
	for ctx.Err() == nil {
		if !h.nc.IsConnected() {
			wait(ctx, h.QueueLook, made)
			continue
		}
		pause := h.QueueLook
		src, err := h.bind(ctx)
		if err == nil {
			h.bound(src)
			err, pause = h.pullJobs(ctx, jobs, src, made), afterTrouble
		}
		if err == nil || ctx.Err() != nil { // the line closed before ctx ended
			return
		}
		if errors.Is(err, errReconnected) {
			continue
		}
		switch {
		case errors.Is(err, errDenied):
			pause *= lessOften
		case h.queue.passes(err):
			pause = min(pause, afterTrouble)
		}
		h.unbound(err, pause)
		wait(ctx, pause, made)
	}
}

// wait returns after d, or when ctx ends or the connection was made anew.
func wait(ctx context.Context, d time.Duration, made <-chan nats.Status) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-made:
	case <-ctx.Done():
	}
}

// bound says that jobs come from src, unless that is known.
func (h *hive) bound(src *source) {
	if h.queue.src.Swap(src) == nil {
		h.Logger.Info("hive takes queued jobs", "stream", src.stream, "consumer", src.consumer, "attempts", src.attempts,
			"results", h.queue.results.Load())
		h.queue.trouble, h.queue.had = "", true
	}
}

// passes reports whether the queue may be back at any moment: nobody answered for it, as while a cluster chooses another leader, or the
// server that had it has just started and does not take questions yet.
func (q *queue) passes(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || ok && api.Code == unavailable ||
		q.had && errors.Is(err, nats.ErrNoResponders)
}

// unbound says why no jobs come from the queue, unless that is known.
func (h *hive) unbound(err error, pause time.Duration) {
	had := h.queue.src.Swap(nil) != nil
	text := err.Error()
	if !had && text == h.queue.trouble {
		return
	}
	h.queue.trouble = text
	log := h.Logger.Info // a fleet without a queue is none in trouble
	if had || h.Queue == QueueRequired || !errors.Is(err, errNoQueue) {
		log = h.Logger.Warn
	}
	log("hive takes requests only", "err", err, "next_look", pause)
}

// pullJobs takes one slot after the other and pulls a job into each, until ctx ends or the line closes, which is no error, or the
// queue breaks off.
func (h *hive) pullJobs(ctx, jobs context.Context, src *source, made <-chan nats.Status) error {
	p := &puller{nc: h.nc, src: src, made: made}
	defer func() {
		for _, msg := range p.collect() {
			h.handBack(jobs, src, msg)
		}
	}()
	for looked := time.Now(); ctx.Err() == nil; {
		if !h.queue.results.Load() && time.Since(looked) > h.QueueLook {
			h.findResults(ctx)
			looked = time.Now()
		}
		if h.queue.doubts.Load() > 0 {
			wait(ctx, betweenTurns, nil)
			continue
		}
		place, err := h.awaitTurn(ctx)
		if errors.Is(err, errCrowded) {
			wait(ctx, betweenTurns, nil)
			continue
		}
		if err != nil {
			return nil // the line closed, or ctx ended
		}
		crowded, most := place.crowded(), 1
		if !crowded && p.pending > 1 {
			most += place.widen(min(p.pending, pullMost) - 1)
		}
		came, err := p.next(ctx, place.recalled, !crowded, most, func(msg *nats.Msg) { h.startPulled(ctx, jobs, src, place, msg) })
		place.giveBack()
		switch {
		case err != nil:
			return err
		case came == 0 && crowded:
			wait(ctx, betweenTurns, nil)
		}
	}
	return nil
}

// awaitTurn returns a place with a slot to pull a job into.
func (h *hive) awaitTurn(ctx context.Context) (*place, error) {
	place, err := h.line.stand()
	if err != nil {
		return nil, err
	}
	select {
	case <-place.turn:
		err = place.verdict
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		place.giveBack()
		return nil, err
	}
	return place, nil
}

// startPulled starts a job that came into place. One that cannot start goes back.
func (h *hive) startPulled(ctx, jobs context.Context, src *source, place *place, msg *nats.Msg) {
	if ctx.Err() == nil {
		if mine, err := place.take(); err == nil {
			h.tasks.do(func() { h.serveQueued(jobs, src, msg, mine) })
			return
		}
	}
	h.handBack(jobs, src, msg)
}

// handBack puts a job back that was pulled and is not run. One that would be delivered no more would stay in the queue for ever, and nobody
// would be told: it is refused instead.
func (h *hive) handBack(jobs context.Context, src *source, msg *nats.Msg) {
	d, err := h.newDelivery(src, msg)
	if err == nil && d.last {
		h.tasks.do(func() { h.serveQueued(jobs, src, msg, h.line.refuse()) })
		return
	}
	if err == nil {
		err = d.putBack(0)
	}
	h.Logger.Info("queued job put back, not started", "subject", msg.Subject, "err", err)
}
