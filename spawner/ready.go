package spawner

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// How often a worker that loads is asked whether it is ready.
const (
	firstHealth = 10 * time.Millisecond
	lastHealth  = 500 * time.Millisecond
)

// healthClient asks workers for their health. Connections are not kept: a worker is asked until it is ready, once.
var healthClient = &http.Client{
	Timeout:       5 * time.Second,
	Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// awaitReady waits until the worker answers its health check with 200 and the answer is proven to be its own. It returns
// nil as soon as alive is false: the caller knows how the worker ended. The errors are [messages.NotReady] and, if
// somebody else answers on the port, [messages.PortInUse].
func (s *Spawner) awaitReady(ctx context.Context, job messages.Job, rec record, alive func() bool, tell story) error {
	limit := s.cfg.ReadyTimeout
	if job.ReadyTimeoutMS > 0 {
		limit = job.ReadyTimeout()
	}
	drain := ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for delay := firstHealth; alive(); delay = min(2*delay, lastHealth) {
		state := health(ctx, rec.Result.Port)
		if state == nil {
			serves, known := rec.Process.Serves(rec.Result.Port)
			if !rec.Process.Alive() {
				continue // it ended between the two; alive says so in a moment
			}
			if !serves && known {
				return s.portInUse(rec.Result.Port, rec.Result.WorkerID)
			}
			tell.ready(rec.Result, time.Since(rec.Result.StartedAt))
			return nil
		}
		if pause(ctx, delay) != nil {
			if drain.Err() != nil {
				return draining("worker %s runs (PID %d) and goes on loading; ask again with the same job", rec.Result.WorkerID, rec.Process.PID)
			}
			e := messages.Errorf(messages.NotReady, "worker %s runs (PID %d) but was not ready within %s: %w; it goes on loading",
				rec.Result.WorkerID, rec.Process.PID, limit, state)
			e.LogTail, e.Retryable = logTail(rec.Result.LogPath, 0), true
			return e
		}
	}
	return nil
}

// health returns nil if the worker on the port says that it serves, and what it says instead otherwise.
func health(ctx context.Context, port int) error {
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + "/health"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := healthClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
