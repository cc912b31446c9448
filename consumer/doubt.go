package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// lookUpQueued is lookUp for a queued job. While the stream of results does not answer, nobody knows whether the job was done before:
// it waits, and is not given up, however few attempts it has left. Its slot is others' meanwhile, and no further job is pulled. There
// is no outcome where that stream is gone. The error is why the stream does not answer, if the hive drains before it does.
func (h *hive) lookUpQueued(ctx context.Context, t *task) (outcome, error) {
	before, err := h.lookUp(ctx, t.job.JobID)
	if err == nil {
		return before, nil
	}
	if h.queue.doubts.Add(1) == 1 {
		h.Logger.Warn("the stream of results does not answer; no queued job begins until it does", "job", t.job.JobID, "err", err)
	}
	defer h.queue.doubts.Add(-1)
	t.place.release()
	for err != nil {
		if errors.Is(err, nats.ErrNoResponders) {
			if h.findResults(ctx); !h.queue.results.Load() {
				break
			}
		}
		if ctx.Err() != nil || h.line.isClosed() {
			return outcome{}, err
		}
		wait(ctx, afterTrouble/2, nil)
		before, err = h.lookUp(ctx, t.job.JobID)
	}
	return before, t.place.again()
}

// again returns nil when a job that gave its slot back has one again, and errClosed if it gets none any more. It is the next in line.
func (p *place) again() error {
	p.line.again(p)
	if err := p.wait(time.Time{}); err != nil {
		return err
	}
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	if !p.slot {
		return errClosed
	}
	return nil
}

func (l *line) again(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.turn = nil
	if !p.slot && !l.closed && !l.giveAtOnce(p) {
		p.turn = make(chan struct{})
		p.inLine = l.waiting.PushFront(p)
	}
}

func (l *line) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
