package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

const (
	// flushTimeout bounds one round trip to the server.
	flushTimeout = 5 * time.Second
	// leaveTimeout bounds all that is said and awaited after the last job.
	leaveTimeout = 5 * time.Second
	// questionGrace is how long a question may go on once there is no job any more. Each looks at workers for a second at most.
	questionGrace = 2 * time.Second
	// A job whose context was cancelled may go on for as long again as the drain took, but within these.
	minGrace = time.Second
	maxGrace = 5 * time.Second
)

// flush returns nil once the server has everything that was sent so far, however long NATS is away before. It returns
// ctx's error when that ends first, or an error once the connection is closed for good. status must report when the
// connection is made or closed.
func (h *hive) flush(ctx context.Context, status <-chan nats.Status) error {
	said := false
	for ctx.Err() == nil {
		switch {
		case h.nc.IsClosed():
			return h.closed()
		case h.nc.IsConnected():
			if h.flushOnce(ctx) == nil {
				return nil
			}
		default:
			if !said {
				h.Logger.Info("waiting for nats")
				said = true
			}
			select {
			case <-ctx.Done():
			case <-status:
			}
		}
	}
	return ctx.Err()
}

func (h *hive) flushOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	return h.nc.FlushWithContext(ctx)
}

// closed says why the connection is closed for good.
func (h *hive) closed() error {
	err := h.nc.LastError()
	if err == nil {
		err = nats.ErrConnectionClosed
	}
	return fmt.Errorf("the connection to NATS is closed for good: %w", err)
}

// awaitEnd returns ctx's error when that ends, or an error once the connection is closed for good.
func (h *hive) awaitEnd(ctx context.Context, status <-chan nats.Status) error {
	for {
		if h.nc.IsClosed() {
			return h.closed()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-status:
		}
	}
}

// drain refuses the jobs in line and all new ones, pulls no more of the queue, lets those in flight finish, and leaves. The jobs in flight when
// DrainTimeout has passed are interrupted; it is an error if one goes on after that.
func (h *hive) drain(ctx context.Context, interrupt context.CancelCauseFunc, svc micro.Service) error {
	inFlight := h.line.close()
	h.quitQueue()
	if h.started {
		h.sayDraining(inFlight)
	}
	h.line.clear()
	err := h.finish(interrupt)
	h.queue.pulling.Wait()

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := svc.Stop(); err != nil {
		h.Logger.Warn("service not stopped", "err", err)
	}
	h.awaitHandlers(ctx)
	if err == nil {
		err = h.finishQuestions(interrupt)
	}
	if h.started {
		h.sayStopped()
	}
	if err := h.nc.FlushWithContext(ctx); err != nil {
		h.Logger.Warn("last messages may be lost", "err", err)
	}
	return err
}

// finish waits for the jobs in flight.
func (h *hive) finish(interrupt context.CancelCauseFunc) error {
	if within(h.DrainTimeout, h.line.idle) {
		return nil
	}
	interrupt(h.draining())
	grace := min(max(h.DrainTimeout, minGrace), maxGrace)
	if within(grace, h.line.idle) {
		return nil
	}
	running, _ := h.line.load()
	return fmt.Errorf("stopping: %d jobs go on %s after they were interrupted", running, grace)
}

// finishQuestions waits for what is left: refusals, which wait for nothing, and questions, which are interrupted when they take
// too long.
func (h *hive) finishQuestions(interrupt context.CancelCauseFunc) error {
	ended := h.tasks.ended()
	if within(questionGrace, ended) {
		return nil
	}
	interrupt(h.draining())
	if within(minGrace, ended) {
		return nil
	}
	return fmt.Errorf("stopping: %d questions go on %s after they were interrupted", len(h.questions), minGrace)
}

// awaitHandlers returns when the requests that the server sent before the service stopped have been accepted, or ctx
// ended; none is accepted from then on. Stopping the service only begins to unsubscribe.
func (h *hive) awaitHandlers(ctx context.Context) {
	if h.nc.FlushWithContext(ctx) == nil {
		accepted := make(chan struct{})
		if h.nc.Barrier(func() { close(accepted) }) == nil {
			select {
			case <-accepted:
			case <-ctx.Done():
			}
		}
	}
	h.tasks.leave()
}

// within reports whether done was closed before d passed.
func within(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
