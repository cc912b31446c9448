package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/rbee-keeper/hive/internal/backend"
)

// How often a backend is asked for its health, and how long it may take to answer. Slow is not dead: only silenceLimit
// silences in a row count, and none while a request runs.
const (
	firstProbe   = 10 * time.Millisecond
	lastProbe    = 500 * time.Millisecond // while it loads
	probeEvery   = 2 * time.Second        // while it serves
	probeTimeout = 5 * time.Second
	silenceLimit = 3
)

var (
	// errForeign says that another program listens on the backend's port.
	errForeign = errors.New("another program has taken its port")
	// errSilent says that the backend took longer than probeTimeout.
	errSilent = errors.New("no answer in time")
)

// probe asks one backend for its health, on a connection of its own each time.
type probe struct {
	url    string
	status int
	port   int
	child  *backend.Backend
	client *http.Client
	proven bool // the last answer was the backend's, and so is the next while it serves
	blind  bool // nobody can tell who listens
}

func newProbe(cfg *backendConfig, child *backend.Backend, port int) *probe {
	return &probe{
		url: "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + cfg.health, status: cfg.status, port: port, child: child,
		client: &http.Client{
			Timeout:       probeTimeout,
			Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// ask returns nil if the backend says that it serves. Whoever answers first after a silence must be proven to be the backend:
// it is errForeign if it is not.
func (p *probe) ask(ctx context.Context) error {
	code, err := p.get(ctx)
	if err != nil {
		p.proven = false
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return errSilent
		}
		return withoutURL(err)
	}
	if !p.proven {
		owns, known := p.child.Owns(p.port)
		if known && !owns {
			return errForeign
		}
		p.proven, p.blind = true, !known
	}
	if code != p.status {
		return fmt.Errorf("its health check answers %d", code)
	}
	return nil
}

func (p *probe) get(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return 0, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	return response.StatusCode, response.Body.Close()
}
