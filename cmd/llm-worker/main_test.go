package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/fakeserver"
	"github.com/rbee-keeper/hive/internal/leaktest"
)

// playWorker makes the test binary be the worker, as os/exec's own tests do.
const playWorker = "LLM_WORKER_TEST_PLAY"

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == fakeserver.Play {
		os.Exit(fakeserver.Main(os.Args[2:]))
	}
	if os.Getenv(playWorker) != "" {
		main()
	}
	leaktest.Main(m)
}

// fixedWorker is a worker in this process whose answers never change; it neither listens nor beats.
func fixedWorker(t *testing.T, change func(*config)) *worker {
	t.Helper()
	cfg := config{workerID: "worker-1", model: "org/model", device: "cuda:0", hiveID: "gpu-1", heartbeat: defaultHeartbeat}
	if change != nil {
		change(&cfg)
	}
	w := newWorker(cfg, &net.TCPAddr{Port: 9001}, slog.New(slog.DiscardHandler))
	w.pid, w.hostname = 4242, "box"
	w.started = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)
	w.now = func() time.Time { return w.started.Add(time.Second) }
	w.newID = func() string { return "chatcmpl-1" }
	return w
}

// readyWorker is a fixedWorker that serves, behind a real HTTP server.
func readyWorker(t *testing.T, change func(*config)) (*worker, *httptest.Server) {
	t.Helper()
	w := fixedWorker(t, change)
	require.True(t, w.status.ready())
	server := httptest.NewServer(w.handler())
	t.Cleanup(server.Close)
	return w, server
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	parsed, err := url.Parse(text)
	require.NoError(t, err)
	return parsed
}

// ask sends one request and returns the status and the body.
func ask(t *testing.T, client *http.Client, method, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(answer)
}

// decode reads JSON that must have no field which T does not know.
func decode[T any](t *testing.T, text string) (value T) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&value), text)
	return value
}

// requireGolden compares JSON with testdata/<name>, whose version is that of the build under test.
func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, []byte(strings.TrimSpace(got)), "", "  "))
	text := strings.ReplaceAll(pretty.String(), workerVersion(), "VERSION") + "\n"
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}
