package queen

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// retelling is the kept story of one job as it is read.
type retelling struct {
	narrate func(messages.Event)
	what    reading // what has not been handed over yet; the reader's until stop
	events  chan messages.Event
	over    chan struct{} // closed when the reader has ended
	cancel  context.CancelFunc
	ended   bool
}

// retell reads the story of a job from its first event on, until it is stopped.
func (c *Client) retell(ctx context.Context, hive, id string, narrate func(messages.Event)) *retelling {
	ctx, cancel := context.WithCancel(ctx)
	r := &retelling{
		narrate: narrate, events: make(chan messages.Event), over: make(chan struct{}), cancel: cancel, ended: narrate == nil,
		what: reading{stream: c.subjects.Streams().Narration, subject: c.subjects.Narration(hive, id, ""), follow: true},
	}
	go func() {
		defer close(r.over)
		for narrate != nil {
			err := c.read(ctx, r.what, func(msg *jetstream.RawStreamMsg) error { return r.hand(ctx, c, msg) })
			if ctx.Err() != nil || !passing(err) || pause(ctx, pollLate) != nil {
				return
			}
		}
	}()
	return r
}

// stop ends the reader. Calling it again does nothing.
func (r *retelling) stop() {
	r.cancel()
	<-r.over
}

// hand gives a message to whoever tells it, if it is an event.
func (r *retelling) hand(ctx context.Context, c *Client, msg *jetstream.RawStreamMsg) error {
	if event, err := c.event(msg.Subject, msg.Header, msg.Data); err == nil {
		select {
		case r.events <- event:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.what.from = msg.Sequence + 1
	return nil
}

// tell narrates an event. A story goes on behind a terminal event if the job was given out again.
func (r *retelling) tell(event messages.Event) {
	r.ended = event.Terminal
	r.narrate(event)
}

// Story returns what was told of a job, as far as narration is kept, the oldest first. hive may be empty: then any hive's. The error is
// that of [Client.Job].
func (c *Client) Story(ctx context.Context, hive, id string) ([]messages.Event, error) {
	subject, err := c.narrationSubject(Filter{Hive: hive, Job: id})
	if err != nil {
		return nil, err
	}
	var events []messages.Event
	err = c.read(ctx, reading{stream: c.subjects.Streams().Narration, subject: subject}, func(msg *jetstream.RawStreamMsg) error {
		if event, err := c.event(msg.Subject, msg.Header, msg.Data); err == nil {
			events = append(events, event)
		}
		return nil
	})
	return events, err
}
