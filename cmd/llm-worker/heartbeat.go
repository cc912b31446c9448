package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

const (
	heartbeatPath    = "v1/worker-heartbeat"
	heartbeatTimeout = 5 * time.Second // of one heartbeat, answer included
	heartbeatGap     = time.Second     // between two heartbeats about busy and ready
)

// heartbeat is the body of POST <queen_url>/v1/worker-heartbeat.
type heartbeat struct {
	Worker    heartbeatWorker `json:"worker"`
	Timestamp string          `json:"timestamp"` // RFC 3339 with nanoseconds, UTC
}

type heartbeatWorker struct {
	ID             string `json:"id"`
	ModelID        string `json:"model_id"`
	Device         string `json:"device"`
	Port           int    `json:"port"`
	Status         string `json:"status"`
	Implementation string `json:"implementation"`
	Version        string `json:"version"`
	PID            int    `json:"pid"`
	HiveID         string `json:"hive_id"` // empty: not started by a hive
	Host           string `json:"host"`
}

func (w *worker) heartbeat(status string) heartbeat {
	return heartbeat{
		Worker: heartbeatWorker{
			ID: w.config.workerID, ModelID: w.config.model, Device: w.config.device, Port: w.port, Status: status,
			Implementation: w.program, Version: workerVersion(), PID: w.pid, HiveID: w.config.hiveID, Host: w.hostname,
		},
		Timestamp: w.now().UTC().Format(time.RFC3339Nano),
	}
}

// heart sends the heartbeats of one worker. Only its own goroutine uses it, so that one heartbeat is in flight at
// a time, they arrive in order, and a slow queen delays nothing but the next heartbeat.
type heart struct {
	queen    *url.URL // nil: it does not beat
	body     func(status string) heartbeat
	status   *status
	interval time.Duration
	gap      time.Duration
	client   *http.Client
	log      *slog.Logger
	down     bool // the last heartbeat did not arrive, and that was logged
}

func newHeart(w *worker) *heart {
	return &heart{
		queen: w.config.queen, body: w.heartbeat, status: w.status,
		interval: w.config.heartbeat, gap: min(heartbeatGap, w.config.heartbeat),
		client: &http.Client{
			Transport: http.DefaultTransport.(*http.Transport).Clone(),
			// A redirected POST can become a GET that succeeds and tells the queen nothing.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		log: w.log,
	}
}

// run beats at once, at every interval and at every change of the status, and says stopped when ctx ends. A status
// that changes and changes back within the gap is not told.
func (h *heart) run(ctx context.Context) {
	if h.queen == nil {
		return
	}
	defer h.client.CloseIdleConnections()
	defer h.send(context.WithoutCancel(ctx), statusStopped, farewellTime)
	ticker := time.NewTicker(h.interval)
	defer ticker.Stop()

	told := statusStarting // always the first, even when loading takes no time
	h.send(ctx, told, heartbeatTimeout)
	for h.due(ctx, ticker.C, told) {
		told = h.status.current()
		h.send(ctx, told, heartbeatTimeout)
	}
}

// due waits until the next heartbeat is to be sent; false: ctx has ended.
func (h *heart) due(ctx context.Context, tick <-chan time.Time, told string) bool {
	if told != statusStarting && pause(ctx, h.gap) != nil { // the end of starting is told at once
		return false
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick:
			return ctx.Err() == nil
		case <-h.status.changed:
			if h.status.current() != told {
				return ctx.Err() == nil
			}
		}
	}
	return false
}

// send posts one heartbeat. It logs the first that is lost and the first that arrives again.
func (h *heart) send(ctx context.Context, status string, limit time.Duration) {
	err := h.post(ctx, status, limit)
	switch {
	case err != nil && ctx.Err() != nil: // ended by us: that says nothing about the queen
	case err != nil && !h.down:
		h.down = true
		h.log.Warn("queen not reachable, heartbeats go on", "queen", h.queen.Host, "err", err)
	case err == nil && h.down:
		h.down = false
		h.log.Info("queen reachable again", "queen", h.queen.Host)
	}
}

func (h *heart) post(ctx context.Context, status string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	body, err := json.Marshal(h.body(status))
	if err != nil {
		return fmt.Errorf("encode heartbeat: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.queen.JoinPath(heartbeatPath).String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make heartbeat request: %w", withoutURL(err))
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", implementation+"/"+workerVersion())
	response, err := h.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection is used again
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("queen answered %s", response.Status)
	}
	return nil
}

// withoutURL drops the URL from an error: it may hold a user and a password, and errors are logged.
func withoutURL(err error) error {
	if located, ok := errors.AsType[*url.Error](err); ok {
		return located.Err
	}
	return err
}
