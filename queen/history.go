package queen

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// History is the kept story of a fleet, or of a part of it, and how it goes on. One goroutine reads it.
type History struct {
	client  *Client
	cursor  *cursor
	skipped atomic.Int64
}

// History returns the events that filter chooses, from a moment on: those that are kept, and then those that come, each once and without
// a gap between them, also when the connection is lost meanwhile. Only what the stream has dropped before it was read is missing. Close
// it.
//
// The error is a [*messages.Error] with the code [messages.InvalidJob] if the filter holds what is no id, and says what to do where no
// narration is kept.
func (c *Client) History(ctx context.Context, filter Filter, since time.Time) (*History, error) {
	subject, err := c.narrationSubject(filter)
	if err != nil {
		return nil, err
	}
	cursor, err := c.openReading(ctx, reading{stream: c.subjects.Streams().Narration, subject: subject, since: since, follow: true})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", subject, err)
	}
	return &History{client: c, cursor: cursor}, nil
}

// Next returns the next event and waits for it until ctx ends, which ends the history. Messages that are no events are passed over.
func (h *History) Next(ctx context.Context) (messages.Event, error) {
	for {
		msg, err := h.cursor.next(ctx)
		if err != nil {
			return messages.Event{}, err
		}
		event, err := h.client.event(msg.Subject, msg.Header, msg.Data)
		if err == nil {
			return event, nil
		}
		h.skipped.Add(1)
	}
}

// Events yields what [History.Next] returns until ctx ends, which is not an error, or until an error was yielded.
func (h *History) Events(ctx context.Context) iter.Seq2[messages.Event, error] {
	return func(yield func(messages.Event, error) bool) {
		for {
			event, err := h.Next(ctx)
			if err != nil && ctx.Err() != nil {
				return
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Skipped returns how many messages were passed over so far because they were no events. It may be called at any time.
func (h *History) Skipped() int { return int(h.skipped.Load()) }

// Close ends the history. Calling it again does nothing.
func (h *History) Close() { h.cursor.close() }
