package queen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// StreamsConfig says how the streams of a fleet are to be. The zero value works: one copy of each, the limits below.
type StreamsConfig struct {
	// Replicas is how many servers keep each stream; 0 means 1.
	Replicas int
	// JobsAge is how long a job waits at most; 0 means 24 hours.
	JobsAge time.Duration
	// MaxJobs is how many jobs wait at most, of all hives together; 0 means 100,000.
	MaxJobs int64
	// ResultsAge is how long results, and what is known of jobs without one, are kept; 0 means 7 days.
	ResultsAge time.Duration
	// NarrationAge and NarrationBytes are how long and how much narration is kept; 0 means 72 hours and 1 GiB.
	NarrationAge   time.Duration
	NarrationBytes int64
}

const (
	day = 24 * time.Hour
	// duplicates is how long the server remembers the ids of what it took. A job that still waits is remembered by its subject.
	duplicates = 2 * time.Minute
	// maxJobSize leaves room for the headers of the largest job.
	maxJobSize = messages.MaxPayload + 8<<10
	// maxConsumers bounds the consumers of a stream that has one for each hive or observer. A stream that says nothing has the server's
	// bound, which is 1,000 since nats-server 2.15 (default_max_consumers).
	maxConsumers = 100_000
	// deadBytes bounds what is kept of jobs without a result.
	deadBytes = 256 << 20
)

// Streams returns the streams that a fleet needs, as the server is to have them: jobs, results, narration and the dead.
func Streams(subjects messages.Subjects, cfg StreamsConfig) []jetstream.StreamConfig {
	names, copies := subjects.Streams(), cmp.Or(cfg.Replicas, 1)
	resultsAge := cmp.Or(cfg.ResultsAge, 7*day)
	// Narration that a power cut takes is no loss; waiting for the disk at each event would be. Replicated streams cannot choose.
	persist := jetstream.DefaultPersistMode
	if copies == 1 {
		persist = jetstream.AsyncPersistMode
	}
	return []jetstream.StreamConfig{
		{
			Name: names.Jobs, Description: "jobs that wait for their hive, or that it has in hand", Subjects: []string{names.JobSubjects()},
			Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: copies,
			// One job waits once. What does not fit is refused, so that its publisher knows.
			Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgsPerSubject: 1,
			MaxMsgs: cmp.Or(cfg.MaxJobs, 100_000), MaxBytes: -1, MaxMsgSize: maxJobSize, MaxAge: cmp.Or(cfg.JobsAge, day),
			MaxConsumers: maxConsumers, Duplicates: duplicates,
			// No SubjectDeleteMarkerTTL: the markers would be delivered as jobs. No AllowDirect: what a direct get returns goes,
			// as it is, wherever its asker says, and would be a job under another subject there.
			AllowMsgTTL: true,
		},
		{
			Name: names.Results, Description: "the last outcome of each job", Subjects: []string{names.ResultSubjects()},
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: copies, Discard: jetstream.DiscardOld,
			MaxMsgsPerSubject: 1, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1, MaxAge: resultsAge, MaxConsumers: -1, Duplicates: duplicates,
			AllowDirect: true,
		},
		{
			Name: names.Narration, Description: "what hives told", Subjects: []string{names.NarrationSubjects()},
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: copies, Discard: jetstream.DiscardOld,
			MaxMsgsPerSubject: -1, MaxMsgs: -1, MaxBytes: cmp.Or(cfg.NarrationBytes, 1<<30), MaxMsgSize: -1, MaxAge: cmp.Or(cfg.NarrationAge, 3*day),
			MaxConsumers: maxConsumers, Duplicates: duplicates, AllowDirect: true, PersistMode: persist,
		},
		{
			Name: names.Dead, Description: "what is known of jobs that came to no result", Subjects: names.DeadSubjects(),
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: copies, Discard: jetstream.DiscardOld,
			MaxMsgsPerSubject: -1, MaxMsgs: -1, MaxBytes: deadBytes, MaxMsgSize: -1, MaxAge: resultsAge, MaxConsumers: -1, Duplicates: duplicates,
		},
	}
}

// stream looks up a stream; the error says what to do. A user who may not is told so.
func (c *Client) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	const subject = "$JS.API.STREAM.INFO."
	before := c.nc.LastError()
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	stream, err := c.js.Stream(ctx, name)
	if err == nil {
		return stream, nil
	}
	if denied := c.refused(subject+name, before); denied != nil {
		err = denied
	}
	return nil, fmt.Errorf("look at stream %s: %w", name, noStreams(err))
}

// noStreams adds to the error of a server that keeps no streams what to do about it.
func noStreams(err error) error {
	if errors.Is(err, nats.ErrNoResponders) { // nobody takes what one asks of JetStream
		err = fmt.Errorf("%w (%w)", jetstream.ErrJetStreamNotEnabled, err)
	}
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return fmt.Errorf("%w on this NATS server: turn it on (a jetstream block in its configuration)", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: turn it on for this account (jetstream: enabled)", err)
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("it is not there: make the streams of this fleet with `rbee streams apply` (%w)", err)
	}
	return err
}
