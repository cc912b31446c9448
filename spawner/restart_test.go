//go:build linux

package spawner_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// reopen closes the hive's spawner and opens another on the same directories, as a restart does.
func (h *hive) reopen() {
	h.t.Helper()
	require.NoError(h.t, h.Close())
	h.open()
}

func TestWorkersOutliveTheHive(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.spawn(job("j", "live"))
	require.Nil(t, first.err)
	h.reopen()
	require.NoError(t, syscall.Kill(first.result.PID, 0))

	again := h.spawn(job("j", "live"))
	require.Nil(t, again.err)
	require.True(t, again.result.Replayed)
	require.Equal(t, first.result.PID, again.result.PID)

	require.NoError(t, syscall.Kill(first.result.PID, syscall.SIGTERM))
	e := <-h.exited
	require.Equal(t, first.result.WorkerID, e.WorkerID, "a hive tells the end of a worker that an earlier one started")
	require.Equal(t, "j", e.Fields.StartedBy)
}

// A hive that was killed right behind a start left a worker without a record.
func TestCutShortStartIsFoundAgain(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.spawn(job("j", "live"))
	require.Nil(t, first.err)
	dir := filepath.Join(h.cfg.RunDir, "workers", first.result.WorkerID)
	cutShort(t, dir)
	h.reopen()

	again := h.spawn(job("j", "live"))
	require.Nil(t, again.err)
	require.True(t, again.result.Replayed)
	require.Equal(t, first.result.PID, again.result.PID)
	require.Equal(t, first.result.Port, again.result.Port)
	require.FileExists(t, filepath.Join(dir, "worker.json"))

	cutShort(t, dir)
	require.ErrorIs(t, h.spawn(job("j", "another")).err, messages.WorkerConflict)
}

// Nobody needs to ask for its job again: the next hive knows the worker, and tells its end.
func TestCutShortStartIsAdopted(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.spawn(job("j", "live"))
	require.Nil(t, first.err)
	unlocked := h.spawn(job("k", "close"))
	require.Nil(t, unlocked.err)
	awaitLog(t, unlocked.result.LogPath, "closed")
	for _, worker := range []string{first.result.WorkerID, unlocked.result.WorkerID} {
		cutShort(t, filepath.Join(h.cfg.RunDir, "workers", worker))
	}
	never := filepath.Join(h.cfg.RunDir, "workers", "never")
	require.NoError(t, os.Mkdir(never, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(never, "lock"), nil, 0o600))
	h.reopen()
	page, err := h.List(t.Context(), messages.ListRequest{})
	require.NoError(t, err)
	require.Len(t, page.Workers, 2)
	require.ElementsMatch(t, []int{first.result.PID, unlocked.result.PID}, []int{page.Workers[0].PID, page.Workers[1].PID})
	require.NoDirExists(t, never, "what was never started is forgotten")
	require.NoError(t, syscall.Kill(first.result.PID, syscall.SIGTERM))
	require.Equal(t, first.result.WorkerID, (<-h.exited).WorkerID)
}

// The same of a worker that closed its descriptors: its lock is free, and it runs.
func TestCutShortStartOfAWorkerWithoutItsLock(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.spawn(job("j", "close"))
	require.Nil(t, first.err)
	awaitLog(t, first.result.LogPath, "closed")
	require.Equal(t, first.result.PID, h.spawn(job("j", "close")).result.PID)
	cutShort(t, filepath.Join(h.cfg.RunDir, "workers", first.result.WorkerID))
	again := h.spawn(job("j", "close"))
	require.Nil(t, again.err)
	require.True(t, again.result.Replayed)
	require.Equal(t, first.result.PID, again.result.PID)
}

// A hive was killed while it watched a worker: its job was never answered.
func TestStartThatWasNeverAnswered(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.spawn(job("j", "live"))
	require.Nil(t, first.err)
	awaitLog(t, first.result.LogPath, "playing live")
	record := filepath.Join(h.cfg.RunDir, "workers", first.result.WorkerID, "worker.json")
	require.NoError(t, os.Remove(record))
	h.reopen()
	again := h.spawn(job("j", "live"))
	require.Nil(t, again.err, "it runs")
	require.Equal(t, first.result.PID, again.result.PID)
	require.FileExists(t, record, "now it is answered")

	require.NoError(t, os.Remove(record))
	require.NoError(t, syscall.Kill(first.result.PID, syscall.SIGKILL))
	<-h.exited
	for range 2 {
		lost := h.spawn(job("j", "live"))
		require.ErrorIs(t, lost.err, messages.WorkerExited, "nobody was ever told that it ran, and it does not")
		require.Equal(t, []string{"playing live"}, lost.err.LogTail)
	}
}

// A worker that writes to descriptors that it does not know must not harm its record.
func TestWorkerCannotWriteItsRecord(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.spawn(job("j", "scribble"))
	require.Nil(t, first.err)
	require.Contains(t, awaitLog(t, first.result.LogPath, "done scribbling"), "scribbled: bad file descriptor")
	require.True(t, h.spawn(job("j", "scribble")).result.Replayed)
}

func TestRunDirectoryOfAnotherHiveIsRefused(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	cfg := h.cfg
	cfg.HiveID = "gpu-2"
	_, err := spawner.New(cfg)
	require.ErrorContains(t, err, `belongs to hive "gpu-1"`)
}

func TestLogDirectoryThatOthersCanWriteIsRefused(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	cfg := h.cfg
	cfg.LogDir = t.TempDir()
	require.NoError(t, os.Chmod(cfg.LogDir, 0o777))
	_, err := spawner.New(cfg)
	require.ErrorContains(t, err, "chmod go-w")
}

// A log that blocks whoever opens it must not keep the job's slot for ever.
func TestLogThatIsNoFileIsRefused(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	j := job("j", "live")
	require.NoError(t, syscall.Mkfifo(filepath.Join(h.cfg.LogDir, j.WorkerID+".j.log"), 0o600))
	require.ErrorIs(t, h.spawn(j).err, messages.SpawnFailed)
}

// cutShort makes the worker's directory what it is between the start and the record.
func cutShort(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "worker.json"))
	require.NoError(t, err)
	var record map[string]any
	require.NoError(t, json.Unmarshal(data, &record))
	record["process"] = map[string]any{"pid": 0}
	data, err = json.Marshal(record)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "worker.json")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lock"), data, 0o600))
}

func TestGarbageInTheRunDirectoryHarmsNobody(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	bystander := h.spawn(job("bystander", "live"))
	require.Nil(t, bystander.err)
	for id, record := range map[string]string{
		"garbage": "no json",
		"forged":  `{"process":{"pid":1},"result":{"worker_id":"forged"}}`,
		"foreign": `{"process":{"pid":2},"result":{"worker_id":"bystander"}}`,
		"empty":   "",
	} {
		dir := filepath.Join(h.cfg.RunDir, "workers", id)
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "worker.json"), []byte(record), 0o600))
	}
	h.reopen()
	require.NoError(t, syscall.Kill(bystander.result.PID, 0))
	j := job("j", "live")
	j.WorkerID = "garbage"
	require.Nil(t, h.spawn(j).err, "an unreadable record of a worker that is gone is replaced")
}
