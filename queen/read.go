package queen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errEnough ends a reading.
var errEnough = errors.New("enough")

// reading is what to read of a stream, and from where.
type reading struct {
	stream, subject string
	from            uint64    // a place; 0: see since
	since           time.Time // zero: from the beginning
	follow          bool      // go on with what comes, until ctx ends
}

// read calls visit with each message in order, each once: a reader that lost its connection goes on behind the last one. It returns
// the error of visit, or nil once everything that was there when it began has been read.
func (c *Client) read(ctx context.Context, r reading, visit func(*jetstream.RawStreamMsg) error) error {
	cursor, err := c.openReading(ctx, r)
	if err != nil {
		return err
	}
	defer cursor.close()
	for r.follow || cursor.left > 0 {
		msg, err := cursor.next(ctx)
		if err != nil {
			return err
		}
		if err := visit(msg); err != nil {
			return err
		}
	}
	return nil
}

// cursor is a place in a stream that moves on. One goroutine uses it.
type cursor struct {
	messages jetstream.MessagesContext
	left     uint64 // how many messages were there and have not been read, as far as is known
}

// openReading returns a cursor at the beginning of what is to be read. The server forgets it some minutes after its last use.
func (c *Client) openReading(ctx context.Context, r reading) (*cursor, error) {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{r.subject}, DeliverPolicy: jetstream.DeliverAllPolicy, InactiveThreshold: time.Minute}
	switch {
	case r.from > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.from
	case !r.since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.since
	}
	consumer, err := c.js.OrderedConsumer(ctx, r.stream, cfg)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", r.stream, noStreams(err))
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", r.stream, err)
	}
	return &cursor{messages: messages, left: consumer.CachedInfo().NumPending}, nil
}

// next returns the next message and waits for it until ctx ends.
func (c *cursor) next(ctx context.Context) (*jetstream.RawStreamMsg, error) {
	stop := context.AfterFunc(ctx, c.messages.Stop) // also where it waits for a server that is away
	defer stop()
	msg, err := c.messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	c.left = meta.NumPending
	return &jetstream.RawStreamMsg{
		Subject: msg.Subject(), Sequence: meta.Sequence.Stream, Header: msg.Headers(), Data: msg.Data(), Time: meta.Timestamp,
	}, nil
}

func (c *cursor) close() { c.messages.Stop() }
