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
	return fmt.Sprintf("hive %s has never taken jobs from the queue, and is not paused: check its id; `rbee hives` lists those that answer", e.Hive)
}

// Pause tells the server to hand a hive no more queued jobs for a time, or until [Client.Resume] if that is 0, and returns until when.
// Jobs wait meanwhile and none is lost; what the hive has in hand it finishes, and it answers requests. The hive is not asked: it may be
// away, or never have been there. Then it is given its place in the queue, and finds itself paused when it comes.
//
// The error says what to do where the server has no queue or is older than 2.11, or where the user may not make that place.
func (c *Client) Pause(ctx context.Context, hive string, d time.Duration) (time.Time, error) {
	if d < 0 {
		return time.Time{}, messages.Errorf(messages.InvalidJob, "pause: is %s; use more than 0", d)
	}
	if d == 0 {
		d = forEver
	}
	until := time.Now().Add(d).UTC()
	err := c.pauseUntil(ctx, hive, until)
	if _, none := errors.AsType[*NoQueueError](err); none {
		err = c.placePaused(ctx, hive, until)
	}
	return until, err
}

// placePaused makes a hive its place in the queue, paused from its beginning on. The hive makes the rest of it as it wants it.
func (c *Client) placePaused(ctx context.Context, hive string, until time.Time) error {
	names, before := c.subjects.Streams(), c.nc.LastError()
	name, filter := names.Consumer(hive), names.HiveJobs(hive)
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	_, err := c.js.CreateConsumer(ctx, names.Jobs, jetstream.ConsumerConfig{
		Name: name, Durable: name, Description: "jobs of hive " + hive, FilterSubject: filter,
		DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy, PauseUntil: &until,
		Metadata: map[string]string{messages.MetaMadeBy: messages.ServiceName},
	})
	if c.refused("$JS.API.CONSUMER.CREATE."+names.Jobs+"."+name+"."+filter, before) != nil {
		return fmt.Errorf("pause hive %s: it has never taken jobs from the queue, and this user may not give it a place there: "+
			"start the hive once, or pause it as a user who may make consumers of %s", hive, names.Jobs)
	}
	if errors.Is(err, jetstream.ErrConsumerExists) { // the hive has come meanwhile
		return c.pauseUntil(ctx, hive, until)
	}
	if err != nil {
		return fmt.Errorf("pause hive %s, which has never taken jobs from the queue: %w", hive, noStreams(err))
	}
	return nil
}

// Resume tells the server to hand a hive queued jobs again. Resuming one that is not paused does nothing. The error is that of
// [Client.Pause], or a [*NoQueueError] if the hive never took a queued job.
func (c *Client) Resume(ctx context.Context, hive string) error {
	return c.pauseUntil(ctx, hive, time.Time{})
}

// HiveQueue is how far a hive is with its queued jobs, as the server counts them.
type HiveQueue struct {
	// Waiting is how many jobs it has not been given, and InHand how many it was given and has not said that it is done with.
	Waiting uint64 `json:"waiting"`
	InHand  int    `json:"in_hand"`
	// PausedUntil is until when it is paused; zero if it is not.
	PausedUntil time.Time `json:"paused_until,omitzero"`
}

// HiveQueue returns how far a hive is with its queued jobs. The hive is not asked: it may be away. The error is that of [Client.Resume].
func (c *Client) HiveQueue(ctx context.Context, hive string) (HiveQueue, error) {
	if err := checkHive(hive, ""); err != nil {
		return HiveQueue{}, err
	}
	info, err := c.placeOf(ctx, hive)
	if err != nil {
		return HiveQueue{}, err
	}
	q := HiveQueue{Waiting: info.NumPending, InHand: info.NumAckPending}
	if info.Paused && info.Config.PauseUntil != nil {
		q.PausedUntil = info.Config.PauseUntil.UTC()
	}
	return q, nil
}

// placeOf returns what the server says of a hive's place in the queue.
func (c *Client) placeOf(ctx context.Context, hive string) (*jetstream.ConsumerInfo, error) {
	names := c.subjects.Streams()
	consumer, err := c.js.Consumer(ctx, names.Jobs, names.Consumer(hive))
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrConsumerDoesNotExist):
		return nil, &NoQueueError{Hive: hive}
	case err != nil:
		return nil, fmt.Errorf("look at the queue of hive %s: %w", hive, noStreams(err))
	}
	return consumer.CachedInfo(), nil
}

func (c *Client) pauseUntil(ctx context.Context, hive string, until time.Time) error {
	if err := checkHive(hive, ""); err != nil {
		return err
	}
	if _, err := c.placeOf(ctx, hive); err != nil {
		return err
	}
	names := c.subjects.Streams()
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
