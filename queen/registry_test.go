package queen_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// clock is a clock that a test turns.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: noon} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// heartbeat is that of one worker at noon.
func heartbeat(id string, status messages.Status) messages.Heartbeat {
	return messages.Heartbeat{
		Worker: messages.WorkerInfo{
			ID: id, ModelID: "meta-llama/Llama-3-8b", Device: "cuda:0", Port: 9001, Status: status,
			Implementation: "llm-worker-rbee", Version: "0.1.0", PID: 12345, HiveID: "gpu-1", Host: "gpu-1.example",
		},
		Timestamp: noon,
	}
}

// beat posts a heartbeat and returns the status code.
func beat(t testing.TB, r *queen.Registry, b messages.Heartbeat) int {
	t.Helper()
	data, err := b.Encode()
	require.NoError(t, err)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, messages.HeartbeatPath, bytes.NewReader(data)))
	return w.Code
}

func TestStateFollowsStatusAndSilence(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	cases := map[string]struct {
		status messages.Status
		after  time.Duration
		want   queen.State
	}{
		"starting":                     {messages.StatusStarting, 0, queen.StateStarting},
		"ready":                        {messages.StatusReady, 0, queen.StateReady},
		"busy, two heartbeats missed":  {messages.StatusBusy, 90*time.Second - ms, queen.StateBusy},
		"ready, three missed":          {messages.StatusReady, 90 * time.Second, queen.StateStale},
		"starting for long":            {messages.StatusStarting, 5 * time.Minute, queen.StateStale},
		"ready, about to be gone":      {messages.StatusReady, 10*time.Minute - ms, queen.StateStale},
		"ready, gone":                  {messages.StatusReady, 10 * time.Minute, queen.StateGone},
		"stopped":                      {messages.StatusStopped, 0, queen.StateStopped},
		"stopped has a reason to rest": {messages.StatusStopped, time.Hour - ms, queen.StateStopped},
		"gone, about to be forgotten":  {messages.StatusReady, time.Hour - ms, queen.StateGone},
		"forgotten":                    {messages.StatusReady, time.Hour, ""},
		"stopped and forgotten":        {messages.StatusStopped, time.Hour, ""},
		"a clock that was set back":    {messages.StatusReady, -time.Hour, queen.StateReady},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			r := queen.NewRegistry(queen.RegistryConfig{Now: clock.Now})
			require.Equal(t, http.StatusNoContent, beat(t, r, heartbeat("worker-1", tc.status)))
			clock.turn(tc.after)

			worker, ok := r.Worker("worker-1")
			require.Equal(t, tc.want != "", ok)
			require.Equal(t, tc.want, worker.State)
			if !ok {
				require.Empty(t, r.Workers())
				return
			}
			require.Equal(t, tc.status, worker.Status, "what the worker said is kept beside")
			require.Equal(t, max(0, tc.after).Milliseconds(), worker.AgeMS)
			require.Equal(t, []queen.Worker{worker}, r.Workers())
		})
	}
}

func TestASecondHeartbeat(t *testing.T) {
	t.Parallel()
	const later = 5 * time.Second // on the registry's clock, whatever the worker's says
	cases := map[string]struct {
		change func(*messages.Heartbeat)
		status messages.Status
		first  time.Duration // after noon
		last   time.Duration
	}{
		"a newer one counts":                        {func(b *messages.Heartbeat) { b.Timestamp = noon.Add(1) }, messages.StatusStarting, 0, later},
		"one of the same time counts":               {func(*messages.Heartbeat) {}, messages.StatusStarting, 0, later},
		"one that was overtaken does not":           {func(b *messages.Heartbeat) { b.Timestamp = noon.Add(-time.Second) }, messages.StatusReady, 0, 0},
		"one from a clock that was set back counts": {func(b *messages.Heartbeat) { b.Timestamp = noon.Add(-time.Hour) }, messages.StatusStarting, 0, later},
		"one without a time counts":                 {func(b *messages.Heartbeat) { b.Timestamp = time.Time{} }, messages.StatusStarting, 0, later},
		"another process begins anew":               {func(b *messages.Heartbeat) { b.Worker.PID++ }, messages.StatusStarting, later, later},
		"its predecessor's last word is overtaken":  {func(b *messages.Heartbeat) { b.Worker.PID--; b.Timestamp = noon.Add(-1) }, messages.StatusReady, 0, 0},
		"another hive begins anew, whatever its clock": {func(b *messages.Heartbeat) {
			b.Worker.HiveID, b.Worker.Host, b.Timestamp = "gpu-2", "gpu-2.example", noon.Add(-time.Second)
		}, messages.StatusStarting, later, later},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			r := queen.NewRegistry(queen.RegistryConfig{Now: clock.Now})
			require.Equal(t, http.StatusNoContent, beat(t, r, heartbeat("worker-1", messages.StatusReady)))
			clock.turn(later)
			second := heartbeat("worker-1", messages.StatusStarting)
			tc.change(&second)
			require.Equal(t, http.StatusNoContent, beat(t, r, second))

			worker, ok := r.Worker("worker-1")
			require.True(t, ok)
			require.Equal(t, tc.status, worker.Status)
			require.Equal(t, noon.Add(tc.first), worker.FirstHeartbeat)
			require.Equal(t, noon.Add(tc.last), worker.LastHeartbeat)
		})
	}
}

func TestRegistryIsBounded(t *testing.T) {
	t.Parallel()
	clock := newClock()
	r := queen.NewRegistry(queen.RegistryConfig{MaxWorkers: 2, ForgetAfter: time.Minute, Now: clock.Now})
	require.Equal(t, http.StatusNoContent, beat(t, r, heartbeat("worker-2", messages.StatusReady)))
	clock.turn(40 * time.Second)
	require.Equal(t, http.StatusNoContent, beat(t, r, heartbeat("worker-1", messages.StatusReady)))
	require.Equal(t, http.StatusServiceUnavailable, beat(t, r, heartbeat("worker-3", messages.StatusReady)))
	require.Equal(t, http.StatusNoContent, beat(t, r, heartbeat("worker-1", messages.StatusBusy)), "who is known stays known")
	require.Equal(t, []string{"worker-1", "worker-2"}, ids(r))

	clock.turn(20 * time.Second) // worker-2 is forgotten
	require.Equal(t, http.StatusNoContent, beat(t, r, heartbeat("worker-3", messages.StatusReady)))
	require.Equal(t, []string{"worker-1", "worker-3"}, ids(r))
}

func TestRegistryByManyAtOnce(t *testing.T) {
	t.Parallel()
	r := queen.NewRegistry(queen.RegistryConfig{})
	var all sync.WaitGroup
	for i := range 8 {
		id := fmt.Sprintf("worker-%d", i)
		all.Go(func() {
			for range 50 {
				if code := beat(t, r, heartbeat(id, messages.StatusReady)); code != http.StatusNoContent {
					t.Errorf("heartbeat of %s: %d", id, code)
				}
				r.Workers()
			}
		})
		all.Go(func() {
			if worker, err := r.Await(patient(t), id, messages.StatusReady); err != nil || worker.ID != id {
				t.Errorf("awaited %s, got %q: %v", id, worker.ID, err)
			}
		})
	}
	all.Wait()
	require.Len(t, r.Workers(), 8)
}

func TestRegistryLogsWhatChanges(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := queen.NewRegistry(queen.RegistryConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	replaced := heartbeat("worker-1", messages.StatusReady)
	replaced.Worker.PID++
	for _, b := range []messages.Heartbeat{
		heartbeat("worker-1", messages.StatusStarting), heartbeat("worker-1", messages.StatusStarting),
		heartbeat("worker-1", messages.StatusReady), replaced,
	} {
		beat(t, r, b)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 3)
	for i, text := range []string{"registered", "changed its status", "replaced"} {
		require.Contains(t, lines[i], text)
		require.Contains(t, lines[i], "worker=worker-1")
	}
}

func ids(r *queen.Registry) []string {
	var ids []string
	for _, worker := range r.Workers() {
		ids = append(ids, worker.ID)
	}
	return ids
}
