package queen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// readBatch and readBytes are how much is asked for at once.
	readBatch = 500
	readBytes = 4 << 20
)

// directGet asks a stream for messages as they are (ADR-31 of the NATS architecture): the last one of a subject or of each of several, or a batch of a
// subject from a place or a moment on.
type directGet struct {
	Last       string     `json:"last_by_subj,omitempty"`
	LastOfEach []string   `json:"multi_last,omitempty"` // with Batch
	Subject    string     `json:"next_by_subj,omitempty"`
	From       uint64     `json:"seq,omitempty"`
	Since      *time.Time `json:"start_time,omitempty"`
	Batch      int        `json:"batch,omitempty"` // 0: one message, behind which nothing is said
	MaxBytes   int        `json:"max_bytes,omitempty"`
}

// getDirect returns what a stream answers, and how many messages there are behind that.
//
// The error says what to do where the stream is missing or does not allow it. [passing] tells whether it may be over soon.
func (c *Client) getDirect(ctx context.Context, stream string, request directGet) (msgs []*jetstream.RawStreamMsg, left uint64, err error) {
	data, err := json.Marshal(request)
	if err != nil {
		return nil, 0, err
	}
	answers := make(chan *nats.Msg, max(request.Batch, 1)+2)
	sub, err := c.nc.ChanSubscribe(c.nc.NewInbox(), answers)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	before, subject := c.nc.LastError(), "$JS.API.DIRECT.GET."+stream
	if err := c.nc.PublishRequest(subject, sub.Subject, data); err != nil {
		return nil, 0, err
	}
	silence := time.NewTimer(lookTime)
	defer silence.Stop()
	for last := uint64(0); ; {
		select {
		case answer := <-answers:
			silence.Reset(lookTime)
			follows := lastOf(answer.Header[jetstream.LastSequenceHeader]) // of a batch alone it is the server's
			if request.Batch > 0 && follows != "" && follows != strconv.FormatUint(last, 10) {
				return nil, 0, nats.ErrDisconnected // what was between them came while the connection was away
			}
			msg, err := stored(answer)
			if err != nil {
				return nil, 0, err
			}
			if msg == nil {
				left, err = c.endOf(ctx, stream, answer)
				return msgs, left, err
			}
			if msgs, last = append(msgs, msg), msg.Sequence; request.Batch == 0 {
				return msgs, 0, nil
			}
		case <-silence.C:
			if denied := c.refused(subject, before); denied != nil {
				return nil, 0, denied
			}
			return nil, 0, nats.ErrTimeout
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// endOf reads what the server says behind the messages, or instead of them.
func (c *Client) endOf(ctx context.Context, stream string, answer *nats.Msg) (left uint64, err error) {
	switch status := answer.Header.Get("Status"); status {
	case "204": // the end of the batch
		left, err = strconv.ParseUint(answer.Header.Get("Nats-Num-Pending"), 10, 64)
		return left, err
	case "404":
		return 0, nil
	case "503":
		return 0, c.notRead(ctx, stream)
	default:
		return 0, fmt.Errorf("%s (%s)", answer.Header.Get("Description"), status)
	}
}

// notRead finds out why nobody answers for a stream.
func (c *Client) notRead(ctx context.Context, name string) error {
	stream, err := c.stream(ctx, name)
	switch {
	case err != nil:
		return err
	case !stream.CachedInfo().Config.AllowDirect:
		return errors.New("it does not allow direct get: correct it with `rbee streams apply`")
	}
	return nats.ErrNoResponders
}

// marks are the headers that the server adds to what it repeats.
var marks = []string{headerStream, jetstream.SubjectHeader, jetstream.SequenceHeader, jetstream.TimeStampHeaer, "Nats-Num-Pending", jetstream.LastSequenceHeader}

// stored returns a message of a stream as it was published; nil if the answer is none. The server adds its headers behind all others, so
// that those of whoever published the message come first and are not to be taken for them.
func stored(answer *nats.Msg) (*jetstream.RawStreamMsg, error) {
	if len(answer.Header[jetstream.SequenceHeader]) == 0 {
		return nil, nil
	}
	said := map[string]string{}
	for _, name := range marks {
		values := answer.Header[name]
		if len(values) == 0 {
			continue
		}
		said[name] = lastOf(values)
		if answer.Header[name] = slices.Clip(values[:len(values)-1]); len(values) == 1 {
			delete(answer.Header, name)
		}
	}
	msg := &jetstream.RawStreamMsg{Subject: said[jetstream.SubjectHeader], Header: answer.Header, Data: answer.Data}
	var err error
	if msg.Sequence, err = strconv.ParseUint(said[jetstream.SequenceHeader], 10, 64); err != nil {
		return nil, fmt.Errorf("read the place of a message: %w", err)
	}
	if msg.Time, err = time.Parse(time.RFC3339Nano, said[jetstream.TimeStampHeaer]); err != nil {
		return nil, fmt.Errorf("read the time of a message: %w", err)
	}
	return msg, nil
}

// lastOf returns the last of the values of a header, or "".
func lastOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
