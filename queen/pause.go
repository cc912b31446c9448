package queen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// forEver is how long a hive is paused that is paused until it is resumed.
const forEver = 10 * 365 * day

// NoQueueError says that a hive has no place in the queue.
type NoQueueError struct {
	// Hive is the hive.
	Hive string
}

// Error says what to do.
func (e *NoQueueError) Error() string {
	return fmt.Sprintf("hive %s has never taken jobs from the queue: check its id, and start it once against this NATS server after `rbee streams apply`", e.Hive)
}

// Pause tells the server to hand a hive no more queued jobs for a time, or until [Client.Resume] if that is 0, and returns until when.
// Jobs wait meanwhile and none is lost; what the hive has in hand it finishes, and it answers requests. The hive is not asked: it may be
// away.
//
// The error is a [*NoQueueError] if the hive never took a queued job, and says what to do where the server has no queue or is older
// than 2.11.
func (c *Client) Pause(ctx context.Context, hive string, d time.Duration) (time.Time, error) {
	if d < 0 {
		return time.Time{}, messages.Errorf(messages.InvalidJob, "pause: is %s; use more than 0", d)
	}
	if d == 0 {
		d = forEver
	}
	until := time.Now().Add(d).UTC()
	return until, c.pauseUntil(ctx, hive, until)
}

// Resume tells the server to hand a hive queued jobs again. Resuming one that is not paused does nothing. The error is that of
// [Client.Pause].
func (c *Client) Resume(ctx context.Context, hive string) error {
	return c.pauseUntil(ctx, hive, time.Time{})
}

func (c *Client) pauseUntil(ctx context.Context, hive string, until time.Time) error {
	if err := checkHive(hive, ""); err != nil {
		return err
	}
	names := c.subjects.Streams()
	if _, err := c.js.Consumer(ctx, names.Jobs, names.Consumer(hive)); err != nil {
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDoesNotExist) {
			return &NoQueueError{Hive: hive}
		}
		return fmt.Errorf("look at the queue of hive %s: %w", hive, noStreams(err))
	}
	answer, err := c.js.PauseConsumer(ctx, names.Jobs, names.Consumer(hive), until)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("pause hive %s: %w: the server must be 2.11 or newer", hive, err)
	case err != nil:
		return fmt.Errorf("pause hive %s: %w", hive, err)
	case answer.Paused == until.IsZero():
		return fmt.Errorf("pause hive %s: the server says that it is paused: %t", hive, answer.Paused)
	}
	return nil
}
