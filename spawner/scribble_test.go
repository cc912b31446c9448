//go:build linux

package spawner_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// A worker runs as the hive's user and can write to the run directory: pipes that nobody reads and links to elsewhere, in the places where its
// end is written down, hold up nobody, and nothing is written through them.
func TestScribblesInTheRunDirectoryHoldUpNobody(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.WriteFile(elsewhere, []byte("mine"), 0o600))
	for id, scribble := range map[string]func(path string) error{
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link":      func(path string) error { return os.Symlink(elsewhere, path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		got := h.spawn(job(id, "live"))
		require.Nil(t, got.err)
		worker := filepath.Join(h.cfg.RunDir, "workers", got.result.WorkerID)
		for _, name := range []string{"exit.json.new", "worker.json.new", "failure.json.new"} {
			require.NoError(t, scribble(filepath.Join(worker, name)))
		}
		require.NoError(t, syscall.Kill(got.result.PID, syscall.SIGKILL))
		select {
		case e := <-h.exited:
			require.Equal(t, got.result.WorkerID, e.WorkerID)
		case <-time.After(patience):
			t.Fatal("nobody is told of the end")
		}
		w, err := h.Get(t.Context(), messages.GetRequest{WorkerID: got.result.WorkerID})
		require.NoError(t, err)
		require.Equal(t, messages.StateExited, w.Worker.State)
		require.Equal(t, "SIGKILL", w.Worker.Signal, id)
	}
	mine, err := os.ReadFile(elsewhere)
	require.NoError(t, err)
	require.Equal(t, "mine", string(mine))
}

// A port whose lock is no file any more is passed over where any port will do.
func TestAScribbledPortIsPassedOver(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Ports.Last = c.Ports.First + 3 })
	for port := h.cfg.Ports.First; port < h.cfg.Ports.Last; port++ {
		path := filepath.Join(h.cfg.RunDir, "ports", strconv.Itoa(port))
		_ = os.Remove(path)
		require.NoError(t, syscall.Mkfifo(path, 0o600))
	}
	got := h.spawn(job("job-1", "live"))
	require.Nil(t, got.err)
	require.Equal(t, h.cfg.Ports.Last, got.result.Port)
}
