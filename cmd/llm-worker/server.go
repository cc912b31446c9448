package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// Limits of one connection: no client holds the worker for ever.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second // of one piece of an answer
	idleTimeout   = 2 * time.Minute
	maxBody       = 1 << 20 // bytes
)

// about is what /info says so that nobody takes the answers for the model's.
const about = "a small deterministic text generator of llm-worker's own; the named model is not loaded"

// healthAnswer is the body of GET /health: 200 when the worker serves, 503 otherwise. The id proves who answers.
type healthAnswer struct {
	Status   string `json:"status"`
	WorkerID string `json:"worker_id"`
}

// infoAnswer is the body of GET /info.
type infoAnswer struct {
	WorkerID       string `json:"worker_id"`
	Model          string `json:"model"`
	Device         string `json:"device"`
	Port           int    `json:"port"`
	Implementation string `json:"implementation"`
	Version        string `json:"version"`
	About          string `json:"about"`
	PID            int    `json:"pid"`
	HiveID         string `json:"hive_id"`
	Status         string `json:"status"`
	StartedAt      string `json:"started_at"` // RFC 3339 with nanoseconds, UTC

	Backend *backendAnswer `json:"backend,omitempty"`
}

// server makes the HTTP server; the contexts of its requests end with requests.
func (w *worker) server(requests context.Context, handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(w.log.Handler(), slog.LevelDebug),
	}
}

// handler routes every request; what no route knows is a JSON error, too.
func (w *worker) handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("/health", method(http.MethodGet, w.health))
	routes.HandleFunc("/info", method(http.MethodGet, w.info))
	routes.HandleFunc("/v1/models", method(http.MethodGet, w.whenServing(w.models)))
	routes.HandleFunc("/v1/chat/completions", method(http.MethodPost, w.whenServing(w.chat)))
	routes.HandleFunc("/", notFound)
	return w.recovered(routes)
}

func notFound(rw http.ResponseWriter, r *http.Request) {
	writeError(rw, refuse(http.StatusNotFound, "not_found", "", "no such path: "+r.URL.Path))
}

func (w *worker) health(rw http.ResponseWriter, _ *http.Request) {
	code := http.StatusOK
	if !w.status.serving() {
		code = http.StatusServiceUnavailable
		rw.Header().Set("Retry-After", "1")
	}
	writeJSON(rw, code, healthAnswer{Status: w.status.current(), WorkerID: w.config.workerID})
}

func (w *worker) info(rw http.ResponseWriter, _ *http.Request) {
	writeJSON(rw, http.StatusOK, w.describe(about))
}

func (w *worker) describe(about string) infoAnswer {
	return infoAnswer{
		WorkerID: w.config.workerID, Model: w.config.model, Device: w.config.device, Port: w.port,
		Implementation: w.program, Version: workerVersion(), About: about, PID: w.pid, HiveID: w.config.hiveID,
		Status: w.status.current(), StartedAt: w.started.UTC().Format(time.RFC3339Nano),
	}
}

func (w *worker) models(rw http.ResponseWriter, _ *http.Request) {
	writeJSON(rw, http.StatusOK, modelList{Object: "list", Data: []modelInfo{
		{ID: w.config.model, Object: "model", Created: w.started.Unix(), OwnedBy: implementation},
	}})
}

// method lets one method pass, and HEAD where GET does.
func method(allowed string, next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == allowed || (r.Method == http.MethodHead && allowed == http.MethodGet) {
			next(rw, r)
			return
		}
		rw.Header().Set("Allow", allowed)
		writeError(rw, refuse(http.StatusMethodNotAllowed, "method_not_allowed", "",
			r.URL.Path+" takes "+allowed+", not "+strings.ToUpper(r.Method)))
	}
}

// whenServing refuses requests while the model loads and after the worker was told to stop.
func (w *worker) whenServing(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if !w.status.serving() {
			writeError(rw, w.notServing())
			return
		}
		next(rw, r)
	}
}

func (w *worker) notServing() *apiError {
	if w.status.current() == statusStopped {
		return unavailable("stopping", errStopping.Error())
	}
	return unavailable("model_loading", w.waiting)
}

// recovered turns a panic into an error for its client; the worker goes on.
func (w *worker) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause == http.ErrAbortHandler { //nolint:errorlint // net/http asks for this very value
				panic(cause) // an answer is cut, on purpose
			} else if cause != nil {
				w.log.Error("request panicked", "path", r.URL.Path, "err", cause, "stack", string(debug.Stack()))
				writeError(rw, &apiError{
					Status: http.StatusInternalServerError, Message: "internal error", Type: "server_error", Code: "internal",
				})
			}
		}()
		next.ServeHTTP(rw, r)
	})
}

func writeJSON(rw http.ResponseWriter, code int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(body) // fails only when the client has gone
}

func writeError(rw http.ResponseWriter, err *apiError) {
	if err.Status == http.StatusServiceUnavailable {
		rw.Header().Set("Retry-After", "1")
	}
	writeJSON(rw, err.Status, map[string]*apiError{"error": err})
}
