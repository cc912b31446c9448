//go:build linux

package spawner_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

func TestFactsOfALivingWorker(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	j := called("w", "job-w", "burn")
	j.QueenURL = "http://me:secret@localhost:8500"
	got := h.spawn(j)
	require.Nil(t, got.err)
	var w messages.Worker
	require.Eventually(t, func() bool {
		w = h.get("w")
		return w.CPUMS > 0 && w.RSSBytes > 0
	}, patience, time.Millisecond)
	require.GreaterOrEqual(t, w.UptimeMS, int64(10), "it had a tick of processor time")
	require.Less(t, w.UptimeMS, int64(60_000))
	require.Greater(t, w.RSSBytes, int64(1<<20))
	require.Greater(t, w.Threads, 1)
	r := got.result
	require.Equal(t, messages.Worker{
		WorkerID: "w", JobID: "job-w", PID: r.PID, State: messages.StateStarting, Model: "burn", Device: "cpu", Port: r.Port, Worker: cpuWorker,
		WorkerType: "CpuLlm", Version: "0.1.0", BinaryPath: r.BinaryPath, StartedAt: r.StartedAt, LogPath: r.LogPath, Processes: 1,
		UptimeMS: w.UptimeMS, RSSBytes: w.RSSBytes, CPUMS: w.CPUMS, Threads: w.Threads,
	}, w)
	text, err := json.Marshal(w)
	require.NoError(t, err)
	require.NotContains(t, string(text), "secret")

	h.run("p", "parent", "made")
	h.started(h.childOf("p"))
	p := h.get("p")
	require.Equal(t, 2, p.Processes)
	require.Greater(t, p.Threads, 2)
	require.Zero(t, p.ExitCode)
	for _, listed := range h.list(false) {
		require.Equal(t, h.get(listed.WorkerID).Processes, listed.Processes)
	}
}

func TestEndOfAWorkerIsRememberedAcrossARestart(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	coded, killed := h.run("coded", "code:3", "obedient"), h.run("killed", "live", "playing")
	require.NoError(t, syscall.Kill(coded.PID, syscall.SIGTERM))
	require.NoError(t, syscall.Kill(killed.PID, syscall.SIGKILL))
	h.awaitState("coded", messages.StateExited)
	h.awaitState("killed", messages.StateExited)
	<-h.exited
	<-h.exited
	for range 2 {
		w := h.get("coded")
		require.Equal(t, 3, *w.ExitCode)
		require.Empty(t, w.Signal)
		require.WithinRange(t, w.EndedAt, w.StartedAt, time.Now())
		require.Equal(t, w.EndedAt.Sub(w.StartedAt).Milliseconds(), w.UptimeMS)
		require.Zero(t, w.RSSBytes+w.CPUMS+int64(w.Threads+w.Processes))
		require.Equal(t, coded.PID, w.PID)
		require.Nil(t, w.Failure, "its job did not fail")

		w = h.get("killed")
		require.Nil(t, w.ExitCode)
		require.Equal(t, "SIGKILL", w.Signal)
		before := h.list(true)
		h.reopen()
		require.Equal(t, before, h.list(true))
	}
}

// Nobody was there: how and when it ended is not known, and nothing is made up.
func TestEndThatNoHiveSaw(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "live", "playing")
	require.NoError(t, h.Close())
	require.NoError(t, syscall.Kill(w.PID, syscall.SIGKILL))
	require.Eventually(t, func() bool { return zombie(w.PID) }, patience, time.Millisecond)
	for range 2 {
		h.open()
		got := h.awaitState("w", messages.StateExited) // its last threads may still be ending
		require.Nil(t, got.ExitCode)
		require.Empty(t, got.Signal)
		require.Zero(t, got.EndedAt)
		require.Zero(t, got.UptimeMS)
		require.NoError(t, h.Close())
	}
	h.open()
}

func TestDossierOfAFailedStart(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = time.Minute })
	j := called("w", "job-w", "exit:7")
	j.QueenURL = "http://me:secret@localhost:8500"
	got := h.spawn(j)
	require.ErrorIs(t, got.err, messages.WorkerExited)
	for range 2 {
		w := h.get("w")
		require.Equal(t, messages.StateExited, w.State)
		require.Equal(t, 7, *w.ExitCode)
		f := w.Failure
		require.ErrorIs(t, f, messages.WorkerExited)
		require.Equal(t, got.err.Message, f.Message)
		require.Contains(t, f.Message, "exited with code 7")
		require.Contains(t, f.Message, "fatal: no such tensor")
		require.Equal(t, 7, *f.ExitCode)
		require.Equal(t, []string{"playing exit:7", "fatal: no such tensor"}, f.LogTail)
		require.Equal(t, filepath.Join(h.cfg.LogDir, "w.job-w.log"), f.LogPath)
		require.Equal(t, w.BinaryPath, f.Command[0])
		require.Equal(t, []string{"--queen-url", "http://***@localhost:8500"}, f.Command[len(f.Command)-2:])
		require.Positive(t, f.LivedMS)
		require.False(t, f.OOMKilled)
		h.reopen()
	}
}

func TestRecordsAreSweptByAge(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.KeepRecords = time.Hour })
	lives := h.run("lives", "live", "playing")
	h.run("closed", "close", "closed")
	_ = h.spawn(called("orphaned", "j", "orphan"))
	awaitLog(t, filepath.Join(h.cfg.LogDir, "orphaned.j.log"), "left")
	h.started(h.childOf("orphaned"))
	for _, worker := range []string{"old", "young"} {
		w := h.run(worker, "live", "playing")
		require.NoError(t, syscall.Kill(w.PID, syscall.SIGKILL))
		h.awaitState(worker, messages.StateExited)
	}
	unseen := h.run("unseen", "live", "playing")
	require.NoError(t, h.Close())
	require.NoError(t, syscall.Kill(unseen.PID, syscall.SIGKILL))
	require.Eventually(t, func() bool { return zombie(unseen.PID) }, patience, time.Millisecond)
	long := time.Now().Add(-2 * time.Hour)
	for _, worker := range []string{"lives", "closed", "orphaned", "old", "unseen"} {
		require.NoError(t, os.Chtimes(h.dir(worker), long, long))
	}
	h.open()
	require.Equal(t, []string{"closed", "lives", "orphaned", "unseen", "young"}, ids(h.list(true)),
		"only what ended long ago, and was seen to, has gone")
	require.Equal(t, lives.PID, h.get("lives").PID)
	require.True(t, h.spawn(called("lives", "job-lives", "live")).result.Replayed)

	require.NoError(t, h.Close())
	require.NoError(t, os.Chtimes(h.dir("unseen"), long, long))
	h.cfg.KeepRecords = -1
	h.open()
	require.Contains(t, ids(h.list(true)), "unseen", "any age is kept")
	h.cfg.KeepRecords = time.Hour
	h.reopen()
	require.NotContains(t, ids(h.list(true)), "unseen")
}
