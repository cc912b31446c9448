package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"
)

// aboutBackend is what /info says of a worker that stands for another server.
const aboutBackend = "an adapter: requests to /v1/ are answered by the backend"

// backendAnswer is what /info says of the backend. Its arguments are left out: they may hold keys.
type backendAnswer struct {
	Program string `json:"program"` // the file that was started
	PID     int    `json:"pid"`     // 0 before it was started
	Port    int    `json:"port"`    // on 127.0.0.1
	Health  string `json:"health"`  // path of its health check
	Status  int    `json:"status"`  // what that answers when it serves
}

// handler routes every request of an adapter.
func (a *adapter) handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("/health", method(http.MethodGet, a.health))
	routes.HandleFunc("/info", method(http.MethodGet, a.info))
	routes.HandleFunc("/v1/", a.whenServing(a.pass))
	routes.HandleFunc("/", notFound)
	return a.recovered(routes)
}

func (a *adapter) info(rw http.ResponseWriter, _ *http.Request) {
	answer := a.describe(aboutBackend)
	pid, port := a.where()
	answer.Backend = &backendAnswer{
		Program: a.config.backend.path, PID: pid, Port: port, Health: a.config.backend.health, Status: a.config.backend.status,
	}
	writeJSON(rw, http.StatusOK, answer)
}

// pass passes a request on. One that can generate makes the worker busy; GET and the like only look.
func (a *adapter) pass(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions {
		if !a.status.begin() { // told to stop since the request began
			writeError(rw, a.notServing())
			return
		}
		defer a.status.end()
	}
	// The server closes a request's body when the answer begins. The backend may answer between the last byte that it needs and
	// the end of the body that the proxy has yet to see, and the proxy would take the closed body for a broken one and cut the
	// answer. In full duplex the body stays open.
	_ = http.NewResponseController(rw).EnableFullDuplex() // every connection of HTTP/1 can
	a.proxy.ServeHTTP(rw, r)
}

// newProxy makes the way to the backend. Nothing on it has a time limit: a prompt may take minutes to be read before the first
// token. Each request has a connection of its own, since a server may close one that waits in the very moment in which
// it is used again, and a POST is not sent twice. What the client's leaving ends here, it ends there.
func (a *adapter) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			_, port := a.where()
			r.SetURL(&url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			Proxy:              nil,
			DialContext:        (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
			DisableKeepAlives:  true,
			DisableCompression: true, // the client and the backend agree on theirs
		},
		FlushInterval: -1, // each piece at once
		ErrorHandler:  a.refused,
		ErrorLog:      slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
}

// refused answers a request that the backend did not answer.
func (a *adapter) refused(rw http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && !errors.Is(context.Cause(r.Context()), errStopping) {
		panic(http.ErrAbortHandler) // the client has gone
	}
	if !a.status.serving() {
		writeError(rw, a.notServing())
		return
	}
	a.log.Warn("backend did not answer", "path", r.URL.Path, "err", err)
	writeError(rw, &apiError{
		Status: http.StatusBadGateway, Message: "the backend did not answer: " + err.Error(), Type: "server_error", Code: "backend_failed",
	})
}
