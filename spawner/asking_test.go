//go:build linux

package spawner_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/process"
)

// called returns a job for the worker with the id.
func called(worker, job, model string) messages.Job {
	return messages.Job{Operation: messages.WorkerSpawn, JobID: job, HiveID: "gpu-1", WorkerID: worker, Model: model, Device: "cpu"}
}

// run starts a worker of its own and waits for a line in its log.
func (h *hive) run(worker, model, line string) messages.Result {
	h.t.Helper()
	got := h.spawn(called(worker, "job-"+worker, model))
	require.Nil(h.t, got.err)
	awaitLog(h.t, got.result.LogPath, line)
	return got.result
}

// list returns all pages as one.
func (h *hive) list(exited bool) []messages.Worker {
	h.t.Helper()
	var all []messages.Worker
	for req := (messages.ListRequest{Exited: exited}); ; {
		page, err := h.List(h.t.Context(), req)
		require.NoError(h.t, err)
		require.Equal(h.t, "gpu-1", page.HiveID)
		all = append(all, page.Workers...)
		if page.Next == "" {
			return all
		}
		req.After = page.Next
	}
}

func (h *hive) get(worker string) messages.Worker {
	h.t.Helper()
	answer, err := h.Get(h.t.Context(), messages.GetRequest{WorkerID: worker})
	require.NoError(h.t, err)
	require.Equal(h.t, "gpu-1", answer.HiveID)
	return answer.Worker
}

// awaitState waits until the worker is in the state.
func (h *hive) awaitState(worker string, state messages.State) messages.Worker {
	h.t.Helper()
	var w messages.Worker
	require.Eventually(h.t, func() bool {
		w = h.get(worker)
		return w.State == state
	}, patience, time.Millisecond)
	return w
}

func ids(workers []messages.Worker) []string {
	var ids []string
	for _, w := range workers {
		ids = append(ids, w.WorkerID)
	}
	return ids
}

// childOf returns the process that the worker has said to have made.
func (h *hive) childOf(worker string) int {
	h.t.Helper()
	var pid int
	text, err := os.ReadFile(h.get(worker).LogPath)
	require.NoError(h.t, err)
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "child %d", &pid); n == 1 {
			return pid
		}
	}
	require.FailNow(h.t, "it has no child")
	return 0
}

// dir is the worker's directory.
func (h *hive) dir(worker string) string { return filepath.Join(h.cfg.RunDir, "workers", worker) }

// awaitListening waits until somebody listens on the port.
func awaitListening(t *testing.T, port int) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, patience, time.Millisecond)
}

// settled waits until the worker's record may be remembered: until its file system can tell every change from now on.
func (h *hive) settled(worker string) {
	h.t.Helper()
	run, err := process.InspectRunDir(h.cfg.RunDir)
	require.NoError(h.t, err)
	require.Eventually(h.t, func() bool {
		stamp, err := run.Stamp(worker)
		return err == nil && stamp.Settled()
	}, patience, 10*time.Millisecond)
}

// forge writes the record of a worker that has ended, as a hive leaves it, and returns its text.
func (h *hive) forge(worker string, p process.Started) {
	h.t.Helper()
	record := fmt.Sprintf(`{"process":{"pid":%d,"start_ticks":%d,"boot_id":%q,"started_at":"2026-01-01T00:00:00Z"},`+
		`"job":{"operation":"worker_spawn","job_id":"j","model":"m","device":"cpu","worker_id":%q},`+
		`"result":{"job_id":"j","worker_id":%q,"log_path":%q}}`,
		p.PID, p.StartTicks, p.BootID, worker, worker, filepath.Join(h.cfg.LogDir, worker+".j.log"))
	require.NoError(h.t, os.Mkdir(h.dir(worker), 0o700))
	lock := filepath.Join(h.dir(worker), "lock")
	require.NoError(h.t, os.WriteFile(lock, []byte(record), 0o600))
	require.NoError(h.t, os.Link(lock, filepath.Join(h.dir(worker), "worker.json")))
}

// logged is a logger's text.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// says returns the lines that hold the text.
func (l *logged) says(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// to has the hive's spawner log here.
func (l *logged) to(c *spawner.Config) {
	c.Logger = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
