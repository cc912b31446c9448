package queen_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func TestRegistryOverHTTP(t *testing.T) {
	t.Parallel()
	clock := newClock()
	r := queen.NewRegistry(queen.RegistryConfig{MaxWorkers: 2, Now: clock.Now})
	server := httptest.NewServer(r)
	defer server.Close()
	encoded := func(b messages.Heartbeat) string {
		data, err := b.Encode()
		require.NoError(t, err)
		return string(data)
	}
	portless := heartbeat("worker-1", messages.StatusReady)
	portless.Worker.Port = 0
	const beats = messages.HeartbeatPath

	for _, step := range []struct { // in this order
		golden, method, path, body string
		status                     int
		header, value              string
	}{
		{"workers_none.json", "GET", "/v1/workers", "", 200, "Content-Type", "application/json"},
		{"", "POST", beats, encoded(heartbeat("worker-abc123", messages.StatusReady)), 204, "Content-Length", ""},
		{"", "POST", beats, encoded(heartbeat("worker-2", messages.StatusStopped)), 204, "", ""},
		{"registry_full.json", "POST", beats, encoded(heartbeat("worker-3", messages.StatusReady)), 503, "Retry-After", "30"},
		{"workers.json", "GET", "/v1/workers", "", 200, "Cache-Control", "no-store"},
		{"worker.json", "GET", "/v1/workers/worker-abc123", "", 200, "", ""},
		{"worker_not_found.json", "GET", "/v1/workers/worker-9", "", 404, "", ""},
		{"invalid_heartbeat.json", "POST", beats, encoded(portless), 400, "Content-Type", "application/json"},
		{"invalid_json.json", "POST", beats, `{"worker":`, 400, "", ""},
		{"too_large.json", "POST", beats, strings.Repeat(" ", messages.MaxPayload+1), 413, "", ""},
		{"post_only.json", "GET", beats, "", 405, "Allow", "POST"},
		{"get_only.json", "DELETE", "/v1/workers/worker-2", "", 405, "Allow", "GET, HEAD"},
		{"get_only.json", "POST", "/v1/workers", "", 405, "", ""},
		{"not_found.json", "GET", "/v1/hives", "", 404, "", ""},
	} {
		req, err := http.NewRequestWithContext(patient(t), step.method, server.URL+step.path, strings.NewReader(step.body))
		require.NoError(t, err)
		resp, err := server.Client().Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())

		what := step.method + " " + step.path
		require.Equal(t, step.status, resp.StatusCode, what)
		require.Equal(t, step.value, resp.Header.Get(step.header), what)
		if step.golden == "" {
			require.Empty(t, body, what)
		} else {
			golden(t, step.golden, body)
		}
		clock.turn(100 * time.Millisecond)
	}
}
