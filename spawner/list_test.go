//go:build linux

package spawner_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/process"
)

func TestStateIsWhatAWorkersOwnHealthSays(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	want := map[string]messages.State{}
	for worker, model := range map[string]string{
		"a-serves": "serve:now", "b-loads": "serve:never", "c-silent": "live", "d-foreign": "live", "e-hangs": "serve:hang", "f-ended": "live",
	} {
		want[worker] = messages.StateStarting
		got := h.run(worker, model, "playing")
		switch {
		case strings.HasPrefix(model, "serve"):
			awaitListening(t, got.Port)
		case worker == "d-foreign": // its health is answered, by somebody else
			listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", got.Port))
			require.NoError(t, err)
			server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Second}
			go func() { _ = server.Serve(listener) }()
			t.Cleanup(func() { _ = server.Close() })
		case worker == "f-ended":
			require.NoError(t, syscall.Kill(got.PID, syscall.SIGKILL))
			<-h.exited
		}
	}
	want["a-serves"], want["f-ended"] = messages.StateReady, messages.StateExited

	var all []messages.Worker
	require.Eventually(t, func() bool { // on a machine that stands still, who is ready may not say so in time
		began := time.Now()
		all = h.list(true)
		return time.Since(began) < 5*time.Second && all[0].State == messages.StateReady // one that hangs is not waited for
	}, patience, time.Millisecond)
	require.Equal(t, []string{"a-serves", "b-loads", "c-silent", "d-foreign", "e-hangs", "f-ended"}, ids(all))
	for _, w := range all {
		require.Equal(t, want[w.WorkerID], w.State, w.WorkerID)
		h.awaitState(w.WorkerID, want[w.WorkerID])
	}
	require.Equal(t, ids(all)[:5], ids(h.list(false)), "the dead are not asked for")
	require.Equal(t, 5, h.Living())
}

// Its first process has ended, and one that it left behind with its lock serves: that is the worker.
func TestWhoWasLeftBehindServes(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = 0 })
	got := h.spawn(called("w", "j", "orphan:serves"))
	require.Nil(t, got.err)
	awaitLog(t, got.result.LogPath, "left")
	<-h.exited
	h.started(h.childOf("w"))
	awaitListening(t, got.result.Port)
	require.NotEqual(t, got.result.PID, h.childOf("w"))
	require.Equal(t, messages.StateReady, h.get("w").State)
	require.Equal(t, messages.StateReady, h.list(false)[0].State)
	logs, err := h.Logs(t.Context(), messages.LogsRequest{WorkerID: "w"})
	require.NoError(t, err)
	require.Equal(t, messages.StateReady, logs.State)
}

func TestListComesInPages(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.run("w0500-lives", "live", "playing")
	const dead = 1100
	for i := range dead {
		h.forge(fmt.Sprintf("w%04d", i), process.Started{Identity: process.Identity{PID: 1 << 22, StartTicks: 1, BootID: "another"}})
	}
	first, err := h.List(t.Context(), messages.ListRequest{Exited: true})
	require.NoError(t, err)
	require.Len(t, first.Workers, 1000)
	require.Equal(t, first.Workers[999].WorkerID, first.Next)
	require.Len(t, h.list(true), dead+1)
	require.IsIncreasing(t, ids(h.list(true)))

	require.Equal(t, []string{"w0500-lives"}, ids(h.list(false)))
	for after, want := range map[string][]string{
		"w0500":       {"w0500-lives"}, // of one that is there
		"w0500-a":     {"w0500-lives"}, // of one that has gone since
		"w0500-lives": nil,
		"x":           nil,
	} {
		page, err := h.List(t.Context(), messages.ListRequest{After: after})
		require.NoError(t, err)
		require.Equal(t, want, ids(page.Workers), after)
		require.Empty(t, page.Next)
	}
}

// What a hive remembers of a record must never be what it said before.
func TestRememberedRecordsFollowEveryChange(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.run("w", "live", "playing")
	h.settled("w")
	for range 2 {
		require.Equal(t, first.PID, h.get("w").PID)
	}
	require.NoError(t, syscall.Kill(first.PID, syscall.SIGKILL))
	<-h.exited
	require.Equal(t, "SIGKILL", h.awaitState("w", messages.StateExited).Signal)

	second := h.spawn(called("w", "second", "another"))
	require.Nil(t, second.err)
	w := h.get("w")
	require.Equal(t, []any{second.result.PID, "second", "another", messages.StateStarting, ""}, []any{w.PID, w.JobID, w.Model, w.State, w.Signal})
	h.settled("w")
	require.Equal(t, second.result.PID, h.get("w").PID)
	require.Equal(t, []string{"w"}, ids(h.list(false)))

	require.NoError(t, syscall.Kill(second.result.PID, syscall.SIGKILL))
	<-h.exited
	h.cfg.Watch = time.Minute // it ends before, however slow the machine is
	h.reopen()
	require.ErrorIs(t, h.spawn(called("w", "third", "exit:5")).err, messages.WorkerExited)
	w = h.get("w")
	require.Equal(t, "third", w.JobID)
	require.Equal(t, 5, *w.ExitCode)
	require.ErrorIs(t, w.Failure, messages.WorkerExited)

	h.settled("w")
	require.Equal(t, "third", h.get("w").JobID)
	require.NoError(t, os.RemoveAll(h.dir("w")))
	_, err := h.Get(t.Context(), messages.GetRequest{WorkerID: "w"})
	require.ErrorIs(t, err, messages.WorkerNotFound)
	require.Empty(t, h.list(true))
}

func TestWorkersAreListedWhileTheyAreStarted(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.cfg.Watch = time.Minute // it ends early for one that listens
	h.reopen()
	const workers = 24
	var starting sync.WaitGroup
	for i := range workers {
		starting.Go(func() {
			for try := range 3 { // two that end at once, and one that lives
				model := "exit:1"
				if try == 2 {
					model = "serve:now"
				}
				got := h.spawn(called(fmt.Sprintf("w%02d", i), fmt.Sprintf("j-%d-%d", i, try), model))
				assert.Equal(t, model == "serve:now", got.err == nil)
			}
		})
	}
	done := make(chan struct{})
	go func() { defer close(done); starting.Wait() }()
	for listing := true; listing; {
		select {
		case <-done:
			listing = false
		default:
		}
		for _, w := range h.list(true) {
			require.Positive(t, w.PID, w.WorkerID)
			require.Positive(t, w.Port, w.WorkerID)
			require.Equal(t, cpuWorker, w.Worker)
		}
	}
	require.Len(t, h.list(false), workers)
}

// A worker is there from its start on, not from the answer to its job on.
func TestWorkerWhoseJobIsNotAnsweredYet(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.cfg.Watch = time.Hour
	h.reopen()
	answered := make(chan told, 1)
	go func() { answered <- h.spawn(called("w", "j", "live")) }()
	require.Eventually(t, func() bool { return len(h.list(false)) == 1 }, patience, time.Millisecond)
	w := h.get("w")
	h.started(w.PID)
	require.Equal(t, messages.StateStarting, w.State)
	require.Empty(t, answered)
	require.NoError(t, syscall.Kill(w.PID, syscall.SIGKILL))
	require.ErrorIs(t, (<-answered).err, messages.WorkerExited)
	require.Equal(t, "SIGKILL", h.get("w").Failure.Signal)
}

func TestUnreadableRecordsArePassedOver(t *testing.T) {
	t.Parallel()
	var log logged
	h := newHive(t, log.to)
	bystander := h.run("bystander", "live", "playing")
	record, err := os.ReadFile(filepath.Join(h.dir("bystander"), "worker.json"))
	require.NoError(t, err)
	elsewhere := filepath.Join(t.TempDir(), "record")
	require.NoError(t, os.WriteFile(elsewhere, record, 0o600))

	bad := map[string]func(lock string) error{
		"garbage": func(lock string) error { return os.WriteFile(lock, []byte("no json"), 0o600) },
		"huge":    func(lock string) error { return os.WriteFile(lock, make([]byte, 2<<20), 0o600) },
		"foreign": func(lock string) error { return os.WriteFile(lock, record, 0o600) },
		"link":    func(lock string) error { return os.Symlink(elsewhere, lock) },
		"pipe":    func(lock string) error { return syscall.Mkfifo(lock, 0o600) },
		"traverse": func(lock string) error {
			text := strings.ReplaceAll(strings.ReplaceAll(string(record), "bystander", "traverse"), `"job-traverse"`, `"../../../etc/passwd"`)
			return os.WriteFile(lock, []byte(text), 0o600)
		},
	}
	for worker, write := range bad {
		require.NoError(t, os.Mkdir(h.dir(worker), 0o700))
		lock := filepath.Join(h.dir(worker), "lock")
		require.NoError(t, write(lock))
		require.NoError(t, os.Link(lock, filepath.Join(h.dir(worker), "worker.json")))
	}
	require.Equal(t, []string{"bystander"}, ids(h.list(true)))
	for worker := range bad {
		require.NotEmpty(t, log.says("worker="+worker), worker)
		_, err := h.Get(t.Context(), messages.GetRequest{WorkerID: worker})
		require.ErrorIs(t, err, messages.Internal, worker)
		_, err = h.Logs(t.Context(), messages.LogsRequest{WorkerID: worker})
		require.ErrorIs(t, err, messages.Internal, worker)
		_, err = h.Delete(t.Context(), deleteJob("d", worker), func(messages.Event) {})
		require.ErrorIs(t, err, messages.Internal, worker)
	}
	h.reopen()
	require.NoError(t, syscall.Kill(bystander.PID, 0))
	require.Equal(t, []string{"bystander"}, ids(h.list(true)))
}

func TestWorkerThatNobodyKnows(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	require.Empty(t, h.list(true))
	_, err := h.Get(t.Context(), messages.GetRequest{WorkerID: "nobody"})
	require.ErrorIs(t, err, messages.WorkerNotFound)
	require.ErrorContains(t, err, "worker_list")
	require.NoDirExists(t, h.dir("nobody"), "a question leaves nothing behind")
}
