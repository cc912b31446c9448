package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// What a hive's consumer is, unless an administrator made it.
const (
	// queueAckWait is how long the server waits to hear of a job that it delivered before it delivers it again.
	queueAckWait = 30 * time.Second
	// queueAttempts is how often a job is delivered at most.
	queueAttempts = 5
	// queuePending bounds the jobs that are delivered and not done: those of two processes with all that may be in flight.
	queuePending = 4 * mostInFlight
)

// errNoQueue is why there is no queue to serve where nobody wants one: no JetStream, or no stream of jobs.
var errNoQueue = errors.New("there is no queue")

// errDenied is why the queue is not served where the hive may not ask for it. Its rights are seldom changed while it runs.
var errDenied = errors.New("the server lets this user ask nothing")

// deniedQueue reports whether the last thing that the server refused was a question about the queue. As with a subscription, only
// the text tells.
func (h *hive) deniedQueue(stream string) bool {
	err := h.nc.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), "Publish to \""+jsAPI+"CONSUMER.") &&
		strings.Contains(err.Error(), "."+stream+".")
}

// source is where the hive's jobs come from.
type source struct {
	stream, consumer string
	next             string // where a job is asked for
	ackWait          time.Duration
	attempts         int
}

// bind finds the hive's consumer of the stream of jobs, or makes it, and looks whether there is a stream of results. A consumer
// that an administrator made is used as it is, as far as it can be.
func (h *hive) bind(ctx context.Context) (*source, error) {
	streams := h.Subjects.Streams()
	want := h.consumerConfig(streams)
	c, err := h.findConsumer(ctx, streams.Jobs, want)
	if err != nil {
		return nil, h.unusable(streams.Jobs, err)
	}
	got := c.CachedInfo().Config
	if err := usable(got, want); err != nil {
		return nil, fmt.Errorf("consumer %s of stream %s cannot be used: %w; delete it and the hive makes another, or change it", want.Durable, streams.Jobs, err)
	}
	if odd := differences(got, want); len(odd) > 0 && h.queue.src.Load() == nil {
		h.Logger.Warn("the hive's consumer is not as a hive makes it; it is used as it is", "stream", streams.Jobs, "consumer", want.Durable,
			"differs", strings.Join(odd, "; "))
	}
	src := &source{
		stream: streams.Jobs, consumer: want.Durable, ackWait: got.AckWait, attempts: queueAttempts,
		next: jsAPI + "CONSUMER.MSG.NEXT." + streams.Jobs + "." + want.Durable,
	}
	if got.MaxDeliver > 0 {
		src.attempts = got.MaxDeliver
	}
	h.findResults(ctx)
	return src, nil
}

// consumerConfig is the consumer that a hive makes for itself: it takes the hive's jobs and no others, one at a time.
func (h *hive) consumerConfig(streams messages.Streams) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name: streams.Consumer(h.HiveID), Durable: streams.Consumer(h.HiveID), Description: "jobs of hive " + h.HiveID,
		FilterSubject: streams.HiveJobs(h.HiveID), DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: queueAckWait, MaxDeliver: queueAttempts, MaxAckPending: queuePending,
		Metadata: map[string]string{messages.MetaMadeBy: messages.ServiceName},
	}
}

// findConsumer returns the hive's consumer. One that a hive made is brought up to date; one that is missing is made.
func (h *hive) findConsumer(ctx context.Context, stream string, want jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	c, err := h.js.Consumer(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if c, err = h.js.CreateConsumer(ctx, stream, want); err != nil {
			return nil, fmt.Errorf("make consumer %s: %w", want.Durable, err)
		}
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	got := c.CachedInfo().Config
	if got.Metadata[messages.MetaMadeBy] != messages.ServiceName || len(differences(got, want)) == 0 && usable(got, want) == nil {
		return c, nil
	}
	got.FilterSubject, got.FilterSubjects, got.BackOff = want.FilterSubject, nil, nil
	got.AckWait, got.MaxDeliver, got.MaxAckPending = want.AckWait, want.MaxDeliver, want.MaxAckPending
	updated, err := h.js.UpdateConsumer(ctx, stream, got) // a pause stays
	if err != nil {
		h.Logger.Warn("the hive's consumer could not be brought up to date", "stream", stream, "consumer", want.Durable, "err", err)
		return c, nil
	}
	return updated, nil
}

// usable returns an error if jobs of another hive would come, or if one could get lost.
func usable(got, want jetstream.ConsumerConfig) error {
	filters := got.FilterSubjects
	if got.FilterSubject != "" {
		filters = []string{got.FilterSubject}
	}
	within := strings.TrimSuffix(want.FilterSubject, "*.*")
	foreign := func(filter string) bool { return !strings.HasPrefix(filter, within) }
	switch {
	case len(filters) == 0 || slices.ContainsFunc(filters, foreign):
		return fmt.Errorf("its filter is %q, and it must be %s", strings.Join(filters, " "), want.FilterSubject)
	case got.AckPolicy != jetstream.AckExplicitPolicy:
		return fmt.Errorf("its ack policy is %s, and it must be explicit", got.AckPolicy)
	case got.DeliverSubject != "":
		return errors.New("it pushes jobs, and a hive pulls them")
	case got.AckWait < time.Second/10:
		return fmt.Errorf("its ack wait is %s, which is too short to say that a job is in work", got.AckWait)
	}
	return nil
}

// differences says how a consumer differs from what a hive makes, as far as it can be used all the same.
func differences(got, want jetstream.ConsumerConfig) (all []string) {
	note := func(name string, got, want any) {
		if got != want {
			all = append(all, fmt.Sprintf("%s is %v, not %v", name, got, want))
		}
	}
	note("filter", got.FilterSubject, want.FilterSubject)
	note("ack wait", got.AckWait, want.AckWait)
	note("max deliver", got.MaxDeliver, want.MaxDeliver)
	note("max ack pending", got.MaxAckPending, want.MaxAckPending)
	if len(got.BackOff) > 0 {
		all = append(all, "backoff is set, which replaces the pause of a job that is to be tried again")
	}
	return all
}

// unusable says why the queue cannot be served, and what to do.
func (h *hive) unusable(stream string, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: stream %s is missing: make it with rbee streams apply", errNoQueue, stream)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: the server has no JetStream for this account (%w)", errNoQueue, err)
	case h.deniedQueue(stream):
		return fmt.Errorf("%w about consumer %s of stream %s: grant it to publish to %sCONSUMER.INFO.%s.%s and the other subjects in docs/delivery.md, or set --queue off",
			errDenied, h.HiveID, stream, jsAPI, stream, h.HiveID)
	}
	return fmt.Errorf("consumer %s of stream %s: %w", h.HiveID, stream, err)
}
