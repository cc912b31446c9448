package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/internal/fault"
)

// delivery is one message of the work queue, and what the server is told of it. The verbs are those of the protocol
// (docs.nats.io/reference/reference-protocols/nats_api_reference): the library's own belong to messages that it pulled.
type delivery struct {
	nc      *nats.Conn
	reply   string // where the server takes what it is told
	attempt int    // 1 when it is delivered for the first time
	last    bool   // the server delivers it no more
	ackWait time.Duration

	mu    sync.Mutex
	alive *time.Timer
}

// newDelivery reads what the server says of msg beside its payload.
func (h *hive) newDelivery(src *source, msg *nats.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	attempt := int(meta.NumDelivered) //nolint:gosec // it counts to src.attempts
	return &delivery{nc: h.nc, reply: msg.Reply, attempt: attempt, last: attempt >= src.attempts, ackWait: src.ackWait}, nil
}

// ack says that the job is done, and returns when the server has written that down. What comes instead of an answer, the job
// then comes again.
func (d *delivery) ack(ctx context.Context) error { return d.tell(ctx, "+ACK") }

// terminate says that the job is never to be delivered again, and why. The server tells that to whoever listens for the dead.
func (d *delivery) terminate(ctx context.Context, reason string) error {
	return d.tell(ctx, "+TERM "+reason)
}

func (d *delivery) tell(ctx context.Context, what string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
	defer cancel()
	_, err := d.nc.RequestWithContext(ctx, d.reply, []byte(what))
	return err
}

// putBack has the job delivered again once delay has passed, to whoever asks for one first. If that gets lost, it is delivered
// again all the same, only later.
func (d *delivery) putBack(delay time.Duration) error {
	what := "-NAK"
	if delay > 0 {
		what = fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds())
	}
	return d.nc.Publish(d.reply, []byte(what))
}

// keepAlive tells the server again and again that the job is in work, until stop is called, so that nobody else gets it.
func (d *delivery) keepAlive() (stop func()) {
	every := d.ackWait / 3
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alive = time.AfterFunc(every, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.alive != nil {
			_ = d.nc.Publish(d.reply, []byte("+WPI")) // if it gets lost, the next one may not
			fault.Point("consumer-inprogress")
			d.alive.Reset(every)
		}
	})
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.alive.Stop()
		d.alive = nil
	}
}

// pauseAfter returns how long a job that failed for now waits until it is tried again: about 1 s after the first attempt, twice as
// long after each further one, 30 s at most. The half of it is left to chance, so that jobs which failed together do not come
// back together.
func pauseAfter(attempt int) time.Duration {
	const first, longest = time.Second, 30 * time.Second
	pause := longest
	if attempt < 6 {
		pause = min(first<<(attempt-1), longest)
	}
	return pause/2 + rand.N(pause/2)
}
