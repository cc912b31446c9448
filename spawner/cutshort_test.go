//go:build linux

package spawner_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// A hive was killed right behind a start, and the worker has ended since: its log proves that it was started, so it is not started
// again, whoever finds out first: the next hive when it starts, or the one that gets the job.
func TestWorkerThatEndedBehindACutShortStart(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]bool{"the hive restarts": true, "another process of the hive goes on": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHive(t, func(cfg *spawner.Config) { cfg.Watch = time.Minute }) // it ends with the worker
			first := h.spawn(job("j", "exit"))
			require.ErrorIs(t, first.err, messages.WorkerExited)
			dir := filepath.Join(h.cfg.RunDir, "workers", job("j", "exit").WorkerID)
			cutShort(t, dir)
			withoutFailure(t, filepath.Join(dir, "lock"))
			if restart {
				h.reopen()
			}
			for range 2 {
				again := h.spawn(job("j", "exit"))
				require.ErrorIs(t, again.err, messages.WorkerExited)
				require.Contains(t, again.err.Message, "how is not known")
				require.Equal(t, first.err.LogTail, again.err.LogTail)
			}
			text, err := os.ReadFile(first.err.LogPath)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(text), "playing exit"), "it was started once")
			answer, err := h.Get(t.Context(), messages.GetRequest{WorkerID: job("j", "exit").WorkerID})
			require.NoError(t, err)
			require.Equal(t, messages.StateExited, answer.Worker.State)
			require.ErrorIs(t, answer.Worker.Failure, messages.WorkerExited)
		})
	}
}

// What was in the log before the start proves nothing.
func TestLogOfAnEarlierStartProvesNothing(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(cfg *spawner.Config) { cfg.Watch = time.Minute }) // it ends with the worker
	j := job("j", "exit")
	require.NoError(t, os.WriteFile(filepath.Join(h.cfg.LogDir, j.WorkerID+".j.log"), []byte("long ago\n"), 0o600))
	first := h.spawn(j)
	require.ErrorIs(t, first.err, messages.WorkerExited)
	dir := filepath.Join(h.cfg.RunDir, "workers", j.WorkerID)
	cutShort(t, dir)
	withoutFailure(t, filepath.Join(dir, "lock"))
	require.NoError(t, os.WriteFile(first.err.LogPath, []byte("long ago\n"), 0o600))

	require.ErrorIs(t, h.spawn(j).err, messages.WorkerExited)
	text, err := os.ReadFile(first.err.LogPath)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), "playing exit"), "it was started, since nothing said that it had been")
}

// withoutFailure makes the file what it was before anybody knew how the job ended.
func withoutFailure(t *testing.T, lock string) {
	t.Helper()
	data, err := os.ReadFile(lock)
	require.NoError(t, err)
	var record map[string]any
	require.NoError(t, json.Unmarshal(data, &record))
	delete(record, "failure")
	data, err = json.Marshal(record)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(lock, data, 0o600))
}
