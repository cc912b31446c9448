package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHealthFollowsTheStatus(t *testing.T) {
	t.Parallel()
	w := fixedWorker(t, nil)
	steps := []struct {
		change func()
		code   int
		status string
	}{
		{func() {}, http.StatusServiceUnavailable, statusStarting},
		{func() { require.True(t, w.status.ready()) }, http.StatusOK, statusReady},
		{func() { require.True(t, w.status.begin()) }, http.StatusOK, statusBusy},
		{func() { require.True(t, w.status.begin()) }, http.StatusOK, statusBusy},
		{func() { w.status.end() }, http.StatusOK, statusBusy},
		{func() { w.status.end() }, http.StatusOK, statusReady},
		{func() { w.status.stop() }, http.StatusServiceUnavailable, statusStopped},
		{func() { require.False(t, w.status.ready()) }, http.StatusServiceUnavailable, statusStopped},
		{func() { require.False(t, w.status.begin()) }, http.StatusServiceUnavailable, statusStopped},
	}
	for _, step := range steps {
		step.change()
		recorder := httptest.NewRecorder()
		w.handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/health", nil))
		require.Equal(t, step.code, recorder.Code)
		require.Equal(t, "application/json", recorder.Header().Get("Content-Type"))
		require.JSONEq(t, `{"status":"`+step.status+`","worker_id":"worker-1"}`, recorder.Body.String())
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	_, server := readyWorker(t, nil)
	code, body := ask(t, server.Client(), http.MethodGet, server.URL+"/info", "")
	require.Equal(t, http.StatusOK, code)
	requireGolden(t, "info.json", body)
}

func TestModels(t *testing.T) {
	t.Parallel()
	_, server := readyWorker(t, nil)
	code, body := ask(t, server.Client(), http.MethodGet, server.URL+"/v1/models", "")
	require.Equal(t, http.StatusOK, code)
	requireGolden(t, "models.json", body)
}

func TestNotServingRefusesRequests(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*status)
		code   string
	}{
		"starting": {func(*status) {}, "model_loading"},
		"stopped":  {func(s *status) { s.stop() }, "stopping"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fixedWorker(t, nil)
			test.change(w.status)
			for path, method := range map[string]string{"/v1/models": "GET", "/v1/chat/completions": "POST"} {
				recorder := httptest.NewRecorder()
				w.handler().ServeHTTP(recorder, httptest.NewRequest(method, path, nil))
				require.Equal(t, http.StatusServiceUnavailable, recorder.Code)
				require.Equal(t, "1", recorder.Header().Get("Retry-After"))
				require.Equal(t, test.code, decode[map[string]apiError](t, recorder.Body.String())["error"].Code)
			}
		})
	}
}

func TestRoutesRefuse(t *testing.T) {
	t.Parallel()
	_, server := readyWorker(t, nil)
	cases := map[string]struct {
		method, path string
		code         int
		error        string
	}{
		"unknown path":    {"GET", "/v1/embeddings", http.StatusNotFound, "not_found"},
		"root":            {"GET", "/", http.StatusNotFound, "not_found"},
		"get chat":        {"GET", "/v1/chat/completions", http.StatusMethodNotAllowed, "method_not_allowed"},
		"post models":     {"POST", "/v1/models", http.StatusMethodNotAllowed, "method_not_allowed"},
		"delete the info": {"DELETE", "/info", http.StatusMethodNotAllowed, "method_not_allowed"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, body := ask(t, server.Client(), test.method, server.URL+test.path, "")
			require.Equal(t, test.code, code)
			require.Equal(t, test.error, decode[map[string]apiError](t, body)["error"].Code)
		})
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := fixedWorker(t, nil)
	w.log = slog.New(slog.NewTextHandler(&log, nil))
	recorder := httptest.NewRecorder()
	w.recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })).
		ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusInternalServerError, recorder.Code)
	require.Equal(t, "internal", decode[map[string]apiError](t, recorder.Body.String())["error"].Code)
	require.NotContains(t, recorder.Body.String(), "boom")
	require.Contains(t, log.String(), "boom")
}
