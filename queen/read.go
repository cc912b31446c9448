package queen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errEnough ends a reading.
var errEnough = errors.New("enough")

// How often a reader that has read everything looks whether more has come. It looks soon after it has heard something live, and seldom
// otherwise: it may have missed that.
const (
	readSoon = time.Millisecond
	readLate = 2 * time.Second
)

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
	for r.follow || cursor.more() {
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

// cursor is a place in a stream that moves on. One goroutine uses it. The server knows nothing of it: each part of the stream is asked for
// by its place. A consumer would do as well, but whoever may make one may have it deliver, and so have others' messages repeated
// anywhere without a mark.
type cursor struct {
	client *Client
	what   reading
	part   []*jetstream.RawStreamMsg // what was read and not returned
	left   uint64                    // how many messages there are behind that, as far as is known

	live  *nats.Subscription // of who follows: says that something comes
	news  chan struct{}
	pause time.Duration
}

// openReading returns a cursor at the beginning of what is to be read.
func (c *Client) openReading(ctx context.Context, r reading) (*cursor, error) {
	cur := &cursor{client: c, what: r, news: make(chan struct{}, 1), pause: readSoon}
	if r.follow {
		var err error
		if cur.live, err = c.nc.Subscribe(r.subject, func(*nats.Msg) { cur.hear() }); err != nil {
			return nil, fmt.Errorf("read stream %s: %w", r.stream, err)
		}
	}
	if err := cur.fetch(ctx); err != nil {
		cur.close()
		return nil, fmt.Errorf("read stream %s: %w", r.stream, err)
	}
	return cur, nil
}

// hear notes that something was published.
func (c *cursor) hear() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// more reports whether there is something to return without waiting for it to be published.
func (c *cursor) more() bool { return len(c.part) > 0 || c.left > 0 }

// next returns the next message and waits for it until ctx ends, also where the server is away meanwhile.
func (c *cursor) next(ctx context.Context) (*jetstream.RawStreamMsg, error) {
	for len(c.part) == 0 {
		if c.left == 0 {
			if err := c.wait(ctx); err != nil {
				return nil, err
			}
		}
		err := c.fetch(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && (!c.what.follow || !passing(err)) {
			return nil, fmt.Errorf("read stream %s: %w", c.what.stream, err)
		}
	}
	msg := c.part[0]
	c.part = c.part[1:]
	c.what.from, c.pause = msg.Sequence+1, readSoon
	return msg, nil
}

// wait returns when it is time to look again.
func (c *cursor) wait(ctx context.Context) error {
	timer := time.NewTimer(c.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		c.pause = min(2*c.pause, readLate)
	case <-c.news:
		c.pause = readSoon // what is heard may not be stored yet
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// fetch asks for the next part.
func (c *cursor) fetch(ctx context.Context) (err error) {
	request := directGet{Subject: c.what.subject, From: c.what.from, Batch: readBatch, MaxBytes: readBytes}
	if c.what.from == 0 && !c.what.since.IsZero() {
		request.Since = &c.what.since
	} else {
		request.From = max(request.From, 1)
	}
	c.left = 0
	c.part, c.left, err = c.client.getDirect(ctx, c.what.stream, request)
	return err
}

func (c *cursor) close() {
	if c.live != nil {
		_ = c.live.Unsubscribe() // fails only if the connection has gone, and the subscription with it
	}
}
