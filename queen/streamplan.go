package queen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

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
