package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// eventStream writes server-sent events, each flushed at once:
// https://html.spec.whatwg.org/multipage/server-sent-events.html
type eventStream struct {
	writer  http.ResponseWriter
	control *http.ResponseController
}

func newEventStream(rw http.ResponseWriter) *eventStream {
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("Cache-Control", "no-cache")
	rw.WriteHeader(http.StatusOK)
	return &eventStream{writer: rw, control: http.NewResponseController(rw)}
}

// send writes one event; an error means that the client has gone or does not read.
func (s *eventStream) send(data []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every writer has deadlines
	event := append(append([]byte("data: "), data...), "\n\n"...)
	if _, err := s.writer.Write(event); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s *eventStream) sendJSON(value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.send(data)
}

// stream answers piece by piece: the role, one chunk per token, the reason of the end, the usage if it was asked
// for, and [DONE]. A stream that is cut because the worker stops ends with an error event and without [DONE].
func (w *worker) stream(rw http.ResponseWriter, r *http.Request, request chatRequest) {
	events := newEventStream(rw)
	chunk := w.completion("chat.completion.chunk") // one id for all
	sendChunk := func(delta chatDelta, finish *string) error {
		chunk.Choices = []chatChoice{{Delta: &delta, FinishReason: finish}}
		return events.sendJSON(chunk)
	}

	if sendChunk(chatDelta{Role: "assistant"}, nil) != nil {
		return
	}
	usage, finish, err := w.generate(r.Context(), request, func(token string) error {
		return sendChunk(chatDelta{Content: token}, nil)
	})
	if errors.Is(err, errStopping) {
		_ = events.sendJSON(map[string]*apiError{"error": w.notServing()})
		return
	}
	if err != nil || sendChunk(chatDelta{}, &finish) != nil { // the client has gone
		return
	}
	if request.StreamOptions.IncludeUsage {
		chunk.Choices, chunk.Usage = []chatChoice{}, &usage
		if events.sendJSON(chunk) != nil {
			return
		}
	}
	_ = events.send([]byte("[DONE]"))
}
