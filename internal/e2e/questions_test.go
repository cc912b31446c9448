//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// The answers of the operations besides worker_spawn, as docs/wire.md has them.
type (
	// found is what a hive finds out about a worker.
	found struct {
		WorkerID   string    `json:"worker_id"`
		JobID      string    `json:"job_id"`
		PID        int       `json:"pid"`
		State      string    `json:"state"`
		Model      string    `json:"model"`
		Device     string    `json:"device"`
		Port       int       `json:"port"`
		Worker     string    `json:"worker"`
		WorkerType string    `json:"worker_type"`
		Version    string    `json:"version"`
		BinaryPath string    `json:"binary_path"`
		StartedAt  time.Time `json:"started_at"`
		EndedAt    time.Time `json:"ended_at"`
		UptimeMS   int64     `json:"uptime_ms"`
		RSSBytes   int64     `json:"rss_bytes"`
		CPUMS      int64     `json:"cpu_ms"`
		Threads    int       `json:"threads"`
		Processes  int       `json:"processes"`
		LogPath    string    `json:"log_path"`
		ExitCode   *int      `json:"exit_code"`
		Signal     string    `json:"signal"`
		Failure    *failure  `json:"failure"`
	}
	// page is the answer to worker_list.
	page struct {
		refusable
		Workers []found `json:"workers"`
		Next    string  `json:"next"`
	}
	// single is the answer to worker_get.
	single struct {
		refusable
		Worker found `json:"worker"`
	}
	// excerpt is the answer to worker_logs.
	excerpt struct {
		refusable
		WorkerID string   `json:"worker_id"`
		LogPath  string   `json:"log_path"`
		Size     int64    `json:"size"`
		Start    int64    `json:"start"`
		From     int64    `json:"from"`
		Next     int64    `json:"next"`
		Missed   int64    `json:"missed"`
		Lines    []string `json:"lines"`
		State    string   `json:"state"`
	}
	// deleted is the answer to worker_delete.
	deleted struct {
		refusable
		JobID     string `json:"job_id"`
		WorkerID  string `json:"worker_id"`
		PID       int    `json:"pid"`
		Signal    string `json:"signal"`
		TookMS    int64  `json:"took_ms"`
		Processes int    `json:"processes"`
		ExitCode  *int   `json:"exit_code"`
	}
	// status is the answer to hive_status.
	status struct {
		refusable
		Version  string `json:"version"`
		Platform string `json:"platform"`
		Devices  []struct {
			Device          string `json:"device"`
			Kind            string `json:"kind"`
			Index           int    `json:"index"`
			Name            string `json:"name"`
			UUID            string `json:"uuid"`
			MemoryBytes     int64  `json:"memory_bytes"`
			MemoryUsedBytes *int64 `json:"memory_used_bytes"`
			Cores           int    `json:"cores"`
			MIG             bool   `json:"mig"`
		} `json:"devices"`
		DevicesProblem string    `json:"devices_problem"`
		Workers        int       `json:"workers"`
		JobsRunning    int       `json:"jobs_running"`
		JobsWaiting    int       `json:"jobs_waiting"`
		StartedAt      time.Time `json:"started_at"`
	}
	// refusable is the part of each that a failure has.
	refusable struct {
		HiveID string   `json:"hive_id"`
		Error  *failure `json:"error"`
	}
)

// ask sends a request to a hive and reads the answer, which may be a failure.
func ask[A any](ctx context.Context, nc *nats.Conn, hive, operation, body string) (A, error) {
	var answer A
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, "rbee.v1.hive."+hive+"."+operation, []byte(body))
	if err != nil {
		return answer, err
	}
	return decoded[A](msg.Data)
}

// decoded reads an answer, which must hold nothing else than it should.
func decoded[A any](data []byte) (A, error) {
	var answer A
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&answer); err != nil {
		return answer, fmt.Errorf("%w in %s", err, data)
	}
	return answer, nil
}

// list returns the workers of gpu-1, page by page.
func list(t *testing.T, nc *nats.Conn, exited bool) []found {
	t.Helper()
	var all []found
	for after := ""; ; {
		p, err := ask[page](t.Context(), nc, "gpu-1", "worker_list", fmt.Sprintf(`{"after":%q,"exited":%t}`, after, exited))
		require.NoError(t, err)
		require.Nil(t, p.Error)
		all = append(all, p.Workers...)
		if after = p.Next; after == "" {
			return all
		}
	}
}

// get returns a worker of gpu-1, which must know it.
func get(t *testing.T, nc *nats.Conn, id string) found {
	t.Helper()
	a, err := ask[single](t.Context(), nc, "gpu-1", "worker_get", fmt.Sprintf(`{"worker_id":%q}`, id))
	require.NoError(t, err)
	require.Nil(t, a.Error, id)
	return a.Worker
}

// getReady is get for a worker that is ready. One that is slow to answer, where the machine stands still, is asked again.
func getReady(t *testing.T, nc *nats.Conn, id string) (w found) {
	t.Helper()
	eventually(t, func() bool { w = get(t, nc, id); return w.State == "ready" }, "%s is not ready", id)
	return w
}

// remove ends a worker of gpu-1, which must succeed.
func remove(t *testing.T, nc *nats.Conn, job string) deleted {
	t.Helper()
	d, err := ask[deleted](t.Context(), nc, "gpu-1", "worker_delete", job)
	require.NoError(t, err)
	require.Nil(t, d.Error, job)
	require.True(t, d.Signal == "SIGTERM" || d.Signal == "SIGKILL", d)
	require.Positive(t, d.Processes)
	return d
}

// eventually asks again and again, in the test's own goroutine, until the answer is yes.
func eventually(t *testing.T, yes func() bool, format string, args ...any) {
	t.Helper()
	for late := time.Now().Add(patience); !yes(); time.Sleep(time.Millisecond) {
		require.Truef(t, time.Now().Before(late), format, args...)
	}
}
