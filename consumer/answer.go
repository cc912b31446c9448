package consumer

import (
	"context"
	"maps"
	"math"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// maxHeader is the length in bytes of the longest error message in a header; the whole one is in the body.
const maxHeader = 512

// answerResult answers t with its result.
func (h *hive) answerResult(ctx context.Context, t *task, r messages.Result) {
	data, err := r.Encode()
	if err != nil {
		h.answerFailure(ctx, t, messages.AsError(err))
		return
	}
	header := h.header(t)
	t.began = !r.Replayed
	if r.Replayed {
		header[messages.HeaderReplayed] = []string{"true"}
	}
	h.answer(ctx, t, header, data)
}

// answerFailure answers t with its failure. An error too long for the server is cut as [shorten] cuts it.
func (h *hive) answerFailure(ctx context.Context, t *task, e *messages.Error) {
	header := h.header(t)
	t.began = tellsOfStart(e) && t.story != nil && !t.story.repeats()
	header[messages.HeaderError] = []string{clip(messages.OneLine(e.Message), maxHeader)}
	header[messages.HeaderErrorCode] = []string{strconv.Itoa(e.Code.Status())}

	encode := func(e *messages.Error) ([]byte, error) {
		return messages.Failure{JobID: t.job.JobID, HiveID: h.HiveID, Err: e}.Encode()
	}
	data, err := encode(shorten(e, h.maxPayload()-headerSize(header), encode))
	if err != nil {
		h.Logger.Error("answer not encoded", "job", t.job.JobID, "err", err)
		return
	}
	h.answer(ctx, t, header, data)
}

// answer publishes the outcome of t where observers find it, then where its caller waits. All of the job's events went
// out before on the same connection, so a reader of both sees them first.
func (h *hive) answer(ctx context.Context, t *task, header nats.Header, data []byte) {
	t.ended = true
	var offered jetstream.PubAckFuture
	result := &nats.Msg{Subject: h.Subjects.Result(h.HiveID, t.job.JobID), Header: header, Data: data}
	switch {
	case t.queued != nil:
		h.deliver(ctx, t, result)
		return
	case t.story == nil:
	case h.queue.results.Load(): // where the first outcome that is final stays
		result.Header = maps.Clone(header)
		result.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(t.before.expectAsked(), 10)}
		if t.began {
			offered = h.offer(t, result)
		} else {
			h.publish(t, result)
		}
	default:
		h.publish(t, result)
	}
	if t.reply != "" {
		h.publish(t, &nats.Msg{Subject: t.reply, Header: header, Data: data})
	}
	if offered != nil {
		h.keep(ctx, t, result, offered)
	}
}

func (h *hive) publish(t *task, msg *nats.Msg) {
	if err := h.nc.PublishMsg(msg); err != nil {
		h.Logger.Error("answer not published", "job", t.job.JobID, "worker", t.job.WorkerID, "subject", msg.Subject, "err", err)
	}
}

// header returns the headers that every answer to t carries.
func (h *hive) header(t *task) nats.Header {
	return nats.Header{messages.HeaderJobID: {t.job.JobID}, messages.HeaderHiveID: {h.HiveID}}
}

// headerSize returns the size of header on the wire in bytes, rounded up.
func headerSize(header nats.Header) int {
	size := len("NATS/1.0\r\n\r\n")
	for name, values := range header {
		size += len(name) + len(": \r\n") + len(values[0])
	}
	return size
}

// maxPayload returns the size in bytes of the largest message that the server takes.
func (h *hive) maxPayload() int {
	if most := h.nc.MaxPayload(); most > 0 {
		return int(most)
	}
	return math.MaxInt
}

// shorten returns e, or a copy of it that encode renders in at most limit bytes: without the older lines of its log
// first, then without the last of its arguments and of the paths that were tried, then with the beginning of its message only. What stays too
// long even so is left for the server to refuse.
func shorten(e *messages.Error, limit int, encode func(*messages.Error) ([]byte, error)) *messages.Error {
	const leastMessage = 128
	short := *e
	for {
		data, err := encode(&short)
		if err != nil || len(data) <= limit {
			return &short
		}
		switch {
		case len(short.LogTail) > 0:
			short.LogTail = short.LogTail[(len(short.LogTail)+1)/2:]
		case len(short.Command) > 0:
			short.Command = short.Command[:len(short.Command)/2]
		case len(short.Tried) > 0:
			short.Tried = short.Tried[:len(short.Tried)/2]
		case len(short.Message) > leastMessage:
			short.Message = clip(short.Message, max(len(short.Message)/2, leastMessage))
		default:
			return &short
		}
	}
}

// clip returns text cut to at most limit bytes; where it is cut, it ends with an ellipsis.
func clip(text string, limit int) string {
	const ellipsis = "…"
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(ellipsis)], "") + ellipsis
}
