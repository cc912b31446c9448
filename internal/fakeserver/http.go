package fakeserver

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// Told is what GET /v1/told answers: what the server was started with, and what the request said.
type Told struct {
	Args    []string    `json:"args"`
	Env     []string    `json:"env"`
	PID     int         `json:"pid"`
	Engine  int         `json:"engine"`
	Header  http.Header `json:"header"`
	Request string      `json:"request"`
	Body    string      `json:"body"`
}

func (s *server) handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /health", s.answerHealth)
	routes.HandleFunc("GET /v1/models", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"object":"list","data":[{"id":%q,"object":"model","owned_by":"fakeserver"}]}`, s.alias)
	})
	routes.HandleFunc("POST /v1/chat/completions", s.chat)
	routes.HandleFunc("/v1/told", s.told)
	routes.HandleFunc("POST /play/health/{code}", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		s.set(code)
	})
	routes.HandleFunc("POST /play/exit/{code}", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		fmt.Fprintln(os.Stderr, "error: out of tensors")
		os.Exit(code)
	})
	routes.HandleFunc("POST /play/next", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case s.next <- struct{}{}:
		case <-r.Context().Done():
		}
	})
	routes.HandleFunc("POST /play/begun", until(s.begun))
	routes.HandleFunc("POST /play/left", until(s.left))
	return routes
}

// until answers when the channel has told something.
func until(told <-chan struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-told:
		case <-r.Context().Done():
		}
	}
}

func (s *server) answerHealth(rw http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	health := s.health
	s.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(health)
	if health == http.StatusOK {
		fmt.Fprint(rw, `{"status":"ok"}`)
		return
	}
	fmt.Fprint(rw, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`)
}

// chat answers with the last message's words. A stream sends one word each time that /play/next lets it, if the message begins
// with "slowly"; a plain answer waits for one such leave.
func (s *server) chat(rw http.ResponseWriter, r *http.Request) {
	var request struct {
		Model    string
		Stream   bool
		Messages []struct{ Role, Content string }
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || len(request.Messages) == 0 {
		http.Error(rw, `{"error":{"message":"no messages","type":"invalid_request_error"}}`, http.StatusBadRequest)
		return
	}
	text := request.Messages[len(request.Messages)-1].Content
	rest, slow := strings.CutPrefix(text, "slowly ")
	if !request.Stream {
		if slow && !s.wait(r) {
			return
		}
		rw.Header().Set("Content-Type", "application/json; charset=utf-8")
		fmt.Fprintf(rw, `{"id":"chatcmpl-1","object":"chat.completion","model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}]}`, s.alias, rest)
		return
	}
	rw.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(rw)
	_ = control.Flush()
	for word := range strings.FieldsSeq(rest) {
		if slow && !s.wait(r) {
			return
		}
		fmt.Fprintf(rw, "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", word)
		_ = control.Flush()
	}
	fmt.Fprint(rw, "data: [DONE]\n\n")
}

// wait waits for leave to go on; false: the client has left.
func (s *server) wait(r *http.Request) bool {
	s.begun <- struct{}{}
	select {
	case <-s.next:
		return true
	case <-r.Context().Done():
		s.left <- struct{}{}
		return false
	}
}

func (s *server) told(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	rw.Header().Set("X-Backend", "fakeserver")
	_ = json.NewEncoder(rw).Encode(Told{
		Args: os.Args, Env: os.Environ(), PID: os.Getpid(), Engine: s.enginePID, Header: r.Header,
		Request: r.Method + " " + r.RequestURI + " " + r.Host, Body: string(body),
	})
}
