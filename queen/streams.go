package queen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
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
	names, replicas := subjects.Streams(), cmp.Or(cfg.Replicas, 1)
	resultsAge := cmp.Or(cfg.ResultsAge, 7*day)
	// Narration that a power cut takes is no loss; waiting for the disk at each event would be. Replicated streams cannot choose.
	persist := jetstream.DefaultPersistMode
	if replicas == 1 {
		persist = jetstream.AsyncPersistMode
	}
	return []jetstream.StreamConfig{
		{
			Name: names.Jobs, Description: "jobs that wait for their hive, or that it has in hand", Subjects: []string{names.JobSubjects()},
			Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: replicas,
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
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas, Discard: jetstream.DiscardOld,
			MaxMsgsPerSubject: 1, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1, MaxAge: resultsAge, MaxConsumers: -1, Duplicates: duplicates,
			AllowDirect: true,
		},
		{
			Name: names.Narration, Description: "what hives told", Subjects: []string{names.NarrationSubjects()},
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas, Discard: jetstream.DiscardOld,
			MaxMsgsPerSubject: -1, MaxMsgs: -1, MaxBytes: cmp.Or(cfg.NarrationBytes, 1<<30), MaxMsgSize: -1, MaxAge: cmp.Or(cfg.NarrationAge, 3*day),
			MaxConsumers: maxConsumers, Duplicates: duplicates, AllowDirect: true, PersistMode: persist,
		},
		{
			Name: names.Dead, Description: "what is known of jobs that came to no result", Subjects: names.DeadSubjects(),
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas, Discard: jetstream.DiscardOld,
			MaxMsgsPerSubject: -1, MaxMsgs: -1, MaxBytes: deadBytes, MaxMsgSize: -1, MaxAge: resultsAge, MaxConsumers: -1, Duplicates: duplicates,
		},
	}
}

// StreamChange is what one stream needs to be as it should.
type StreamChange struct {
	// Stream is its name.
	Stream string `json:"stream"`
	// Missing says that the server does not have it.
	Missing bool `json:"missing,omitempty"`
	// Fields are the settings that differ; empty if it is as it should be, or missing.
	Fields []FieldChange `json:"fields,omitempty"`

	want, have jetstream.StreamConfig
}

// FieldChange is one setting of a stream that is not as it should be.
type FieldChange struct {
	// Field is its name in the configuration that the server takes.
	Field string `json:"field"`
	// Have and Want are its values.
	Have string `json:"have"`
	Want string `json:"want"`
	// Narrows says that less is kept or taken afterwards, so that something may be lost.
	Narrows bool `json:"narrows,omitempty"`
	// Fixed says that no server changes it in a stream that it has.
	Fixed bool `json:"fixed,omitempty"`
}

// String returns the change in one line.
func (f FieldChange) String() string { return f.Field + ": " + f.Have + " → " + f.Want }

// Changes reports whether there is anything to do.
func (c StreamChange) Changes() bool { return c.Missing || len(c.Fields) > 0 }

// Narrows reports whether something of the stream may be lost by the change.
func (c StreamChange) Narrows() bool {
	return slices.ContainsFunc(c.Fields, func(f FieldChange) bool { return f.Narrows })
}

// Plan compares the streams of the server with the wanted ones and changes nothing. It returns one entry for each stream.
//
// The error is [jetstream.ErrJetStreamNotEnabled] or [jetstream.ErrJetStreamNotEnabledForAccount], wrapped with what to do, if the
// server keeps no streams.
func (c *Client) Plan(ctx context.Context, cfg StreamsConfig) ([]StreamChange, error) {
	var plan []StreamChange
	for _, want := range Streams(c.subjects, cfg) {
		change := StreamChange{Stream: want.Name, want: want}
		stream, err := c.stream(ctx, want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			change.Missing = true
		case err != nil:
			return nil, err
		default:
			change.have = stream.CachedInfo().Config
			change.Fields = differences(change.have, want)
		}
		plan = append(plan, change)
	}
	return plan, nil
}

// NarrowError says that a stream was left as it is because something of it might be lost.
type NarrowError struct {
	// Changes are the streams that would be narrowed.
	Changes []StreamChange
}

// Error names the settings.
func (e *NarrowError) Error() string {
	var text strings.Builder
	text.WriteString("nothing was changed, because less would be kept than now")
	for _, change := range e.Changes {
		for _, field := range change.Fields {
			if field.Narrows {
				text.WriteString("; " + change.Stream + " " + field.String())
			}
		}
	}
	return text.String() + ": say force (--force) if that is meant"
}

// Apply makes the streams of the server the wanted ones and returns what it did. Doing it again does nothing. It creates what is
// missing and changes what differs, but it never deletes a stream, and narrows one only if force is true: otherwise nothing at
// all is done and the error is a [*NarrowError]. A setting that no server changes is left as it is and reported as Fixed.
func (c *Client) Apply(ctx context.Context, cfg StreamsConfig, force bool) ([]StreamChange, error) {
	plan, err := c.Plan(ctx, cfg)
	if err != nil {
		return nil, err
	}
	narrow := &NarrowError{}
	for _, change := range plan {
		if change.Narrows() {
			narrow.Changes = append(narrow.Changes, change)
		}
	}
	if len(narrow.Changes) > 0 && !force {
		return plan, narrow
	}
	for _, change := range plan {
		if err := c.apply(ctx, change); err != nil {
			return plan, fmt.Errorf("stream %s: %w", change.Stream, noStreams(err))
		}
	}
	return plan, nil
}

func (c *Client) apply(ctx context.Context, change StreamChange) error {
	if change.Missing {
		_, err := c.js.CreateStream(ctx, change.want)
		return err
	}
	changeable := func(f FieldChange) bool { return !f.Fixed }
	if !slices.ContainsFunc(change.Fields, changeable) {
		return nil
	}
	_, err := c.js.UpdateStream(ctx, merged(change.have, change.want))
	return err
}

// setting is one field that we care about: what we leave alone an administrator may choose.
type setting struct {
	name  string
	value func(*jetstream.StreamConfig) any // a pointer to the field
	fixed bool
	// narrows says whether going from the first to the second keeps less; nil: never.
	narrows func(have, want any) bool
}

var settings = []setting{
	{"description", func(c *jetstream.StreamConfig) any { return &c.Description }, false, nil},
	{"subjects", func(c *jetstream.StreamConfig) any { return &c.Subjects }, false, fewer},
	{"retention", func(c *jetstream.StreamConfig) any { return &c.Retention }, true, nil},
	{"storage", func(c *jetstream.StreamConfig) any { return &c.Storage }, true, nil},
	{"num_replicas", func(c *jetstream.StreamConfig) any { return &c.Replicas }, false, lower[int]},
	{"discard", func(c *jetstream.StreamConfig) any { return &c.Discard }, false, nil},
	{"discard_new_per_subject", func(c *jetstream.StreamConfig) any { return &c.DiscardNewPerSubject }, false, nil},
	{"max_msgs_per_subject", func(c *jetstream.StreamConfig) any { return &c.MaxMsgsPerSubject }, false, lower[int64]},
	{"max_msgs", func(c *jetstream.StreamConfig) any { return &c.MaxMsgs }, false, lower[int64]},
	{"max_bytes", func(c *jetstream.StreamConfig) any { return &c.MaxBytes }, false, lower[int64]},
	{"max_msg_size", func(c *jetstream.StreamConfig) any { return &c.MaxMsgSize }, false, lower[int32]},
	{"max_age", func(c *jetstream.StreamConfig) any { return &c.MaxAge }, false, lower[time.Duration]},
	{"max_consumers", func(c *jetstream.StreamConfig) any { return &c.MaxConsumers }, false, nil},
	{"duplicate_window", func(c *jetstream.StreamConfig) any { return &c.Duplicates }, false, lower[time.Duration]},
	{"allow_msg_ttl", func(c *jetstream.StreamConfig) any { return &c.AllowMsgTTL }, false, nil},
	{"subject_delete_marker_ttl", func(c *jetstream.StreamConfig) any { return &c.SubjectDeleteMarkerTTL }, false, nil},
	{"allow_direct", func(c *jetstream.StreamConfig) any { return &c.AllowDirect }, false, nil},
	{"persist_mode", func(c *jetstream.StreamConfig) any { return &c.PersistMode }, true, nil},
}

// differences returns the settings in which have is not as want.
func differences(have, want jetstream.StreamConfig) []FieldChange {
	var fields []FieldChange
	for _, s := range settings {
		a, b := valueOf(s, &have), valueOf(s, &want)
		if reflect.DeepEqual(a, b) {
			continue
		}
		fields = append(fields, FieldChange{
			Field: s.name, Have: fmt.Sprint(a), Want: fmt.Sprint(b), Narrows: s.narrows != nil && s.narrows(a, b), Fixed: s.fixed,
		})
	}
	return fields
}

// merged returns have with the settings of want that can be changed. What an administrator chose besides stays.
func merged(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	for _, s := range settings {
		if !s.fixed {
			reflect.ValueOf(s.value(&have)).Elem().Set(reflect.ValueOf(s.value(&want)).Elem())
		}
	}
	return have
}

func valueOf(s setting, c *jetstream.StreamConfig) any {
	return reflect.ValueOf(s.value(c)).Elem().Interface()
}

// lower reports whether a limit becomes tighter. 0 and less mean that there is none.
func lower[N ~int | ~int32 | ~int64](have, want any) bool {
	a, b := have.(N), want.(N)
	return b > 0 && (a <= 0 || b < a)
}

// fewer reports whether something is no longer taken.
func fewer(have, want any) bool {
	for _, subject := range have.([]string) {
		if !slices.Contains(want.([]string), subject) {
			return true
		}
	}
	return false
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
		return fmt.Errorf("%w: make the streams of this fleet with `rbee streams apply`", err)
	}
	return err
}
