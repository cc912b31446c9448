package queen

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/messages"
)

// subscribeWait bounds the wait for the server to take a subscription when the caller's context has no deadline.
const subscribeWait = 5 * time.Second

// Filter chooses events. An empty field means any.
type Filter struct {
	// Hive is the hive that tells.
	Hive string
	// Job is the job that is told about; [messages.AboutHive] and [messages.AboutWorker] stand for the events of no job.
	Job string
	// Action is what is told, like worker_spawned.
	Action string
}

// Narration is the live story of a fleet, or of a part of it. One goroutine reads it.
type Narration struct {
	client     *Client
	sub        *nats.Subscription
	held       *nats.Msg // read, but behind a gap that was reported first
	dropped    int
	reconnects uint64
	skipped    atomic.Int64
}

// Watch subscribes to the events that filter chooses. When it returns without an error, the server has taken the
// subscription, and every event published from then on arrives. It keeps up to 65,536 events for a slow reader. Close it.
//
// The error is a [*messages.Error] with the code [messages.InvalidJob] if the filter holds what is no id, wraps
// [nats.ErrPermissionViolation] if this user may not read what it chooses, and is that of ctx or of the connection otherwise.
func (c *Client) Watch(ctx context.Context, filter Filter) (*Narration, error) {
	subject, err := c.narrationSubject(filter)
	if err != nil {
		return nil, err
	}
	before := c.nc.LastError()
	sub, err := c.nc.SubscribeSync(subject)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", subject, err)
	}
	if err := c.settle(ctx, subject, before); err != nil {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("watch %s: %w", subject, err)
	}
	return &Narration{client: c, sub: sub, reconnects: c.nc.Stats().Reconnects}, nil
}

// narrationSubject returns the subject that a filter means.
func (c *Client) narrationSubject(f Filter) (string, error) {
	for _, part := range []struct{ field, value string }{{"hive", f.Hive}, {"job", f.Job}, {"action", f.Action}} {
		if part.value == "" || part.field == "job" && (part.value == messages.AboutHive || part.value == messages.AboutWorker) {
			continue
		}
		if err := messages.CheckID(part.value); err != nil {
			return "", messages.Errorf(messages.InvalidJob, "watch %s: %w", part.field, err)
		}
	}
	return c.subjects.Narration(f.Hive, f.Job, messages.Action(f.Action)), nil
}

// settle waits until the server has taken or refused the subscription to subject.
func (c *Client) settle(ctx context.Context, subject string, before error) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, subscribeWait)
		defer cancel()
	}
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	return c.refused(subject, before) // the server says no before it answers the flush
}

// Next returns the next event and waits for it until ctx ends. Messages that are no events are passed over.
//
// The error is a [*GapError] if events are missing at about this place: reading on is right. Any other error ends the
// narration: that of ctx, [nats.ErrConnectionClosed], [nats.ErrBadSubscription] after Close, or one that wraps
// [nats.ErrPermissionViolation].
func (n *Narration) Next(ctx context.Context) (messages.Event, error) {
	for {
		msg, err := n.next(ctx)
		if err != nil {
			return messages.Event{}, err
		}
		if gap := n.gap(); gap != nil {
			n.held = msg
			return messages.Event{}, gap
		}
		event, err := n.client.event(msg.Subject, msg.Header, msg.Data)
		if err == nil {
			return event, nil
		}
		n.skipped.Add(1)
	}
}

// Events yields what [Narration.Next] returns until ctx ends, which is not an error, or until an error that ends the
// narration was yielded.
func (n *Narration) Events(ctx context.Context) iter.Seq2[messages.Event, error] {
	return func(yield func(messages.Event, error) bool) {
		for {
			event, err := n.Next(ctx)
			if err != nil && ctx.Err() != nil {
				return
			}
			if !yield(event, err) {
				return
			}
			if _, gap := errors.AsType[*GapError](err); err != nil && !gap {
				return
			}
		}
	}
}

// Skipped returns how many messages were passed over so far because they were no events, or claimed to be of another hive,
// job or action than their subject says. It may be called at any time.
func (n *Narration) Skipped() int { return int(n.skipped.Load()) }

// Close ends the narration. Calling it again does nothing.
func (n *Narration) Close() {
	_ = n.sub.Unsubscribe() // fails only if it or its connection has ended before
}

// next returns the message that was held back, or the next that arrives.
func (n *Narration) next(ctx context.Context) (*nats.Msg, error) {
	if msg := n.held; msg != nil {
		n.held = nil
		return msg, nil
	}
	for {
		msg, err := n.sub.NextMsgWithContext(ctx)
		if !errors.Is(err, nats.ErrSlowConsumer) { // gap says how many were dropped
			return msg, err
		}
	}
}

// gap returns what was lost since it was last asked, or nil.
func (n *Narration) gap() *GapError {
	var gap GapError
	if dropped, err := n.sub.Dropped(); err == nil {
		gap.Dropped, n.dropped = dropped-n.dropped, dropped
	}
	if reconnects := n.client.nc.Stats().Reconnects; reconnects != n.reconnects {
		gap.Reconnected, n.reconnects = true, reconnects
	}
	if gap == (GapError{}) {
		return nil
	}
	return &gap
}
