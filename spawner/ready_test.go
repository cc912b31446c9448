//go:build linux

package spawner_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

func readyJob(id, model string) messages.Job {
	j := job(id, model)
	j.Wait = messages.WaitReady
	return j
}

func TestReadyWorker(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	got := h.spawn(readyJob("j", "serve:ready"))
	require.Nil(t, got.err)
	require.Equal(t, messages.ActionReady, got.actions()[len(got.events)-1])
	again := h.spawn(readyJob("j", "serve:ready"))
	require.Nil(t, again.err)
	require.True(t, again.result.Replayed)
}

func TestWorkerThatIsNeverReady(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.SayLoading = time.Hour }) // it does not stand still before
	j := readyJob("j", "serve:never")
	j.ReadyTimeoutMS = 50
	got := h.spawn(j)
	require.ErrorIs(t, got.err, messages.NotReady)
	require.Contains(t, got.err.Message, "50ms")
	require.Contains(t, got.err.Message, "goes on loading")
	j.Wait = messages.WaitSpawned
	require.Nil(t, h.spawn(j).err, "it runs all the same")
}

func TestWorkerThatDiesWhileItLoads(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	got := h.spawn(readyJob("j", "serve:die"))
	require.ErrorIs(t, got.err, messages.WorkerExited)
	require.Equal(t, 9, *got.err.ExitCode)
	require.Contains(t, got.err.LogTail, "out of memory")
	require.Empty(t, h.exited, "the end is told inside the job")
}

// The job waits for the worker's end itself, not for who writes that down, which can take long where many end together.
func TestWorkerThatDiesWhileEndsCannotBeWrittenDown(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	release := h.HoldEnds()
	got := h.spawn(readyJob("j", "serve:die"))
	release()
	require.ErrorIs(t, got.err, messages.WorkerExited)
	require.Equal(t, 9, *got.err.ExitCode)
	require.Equal(t, messages.ActionExited, got.actions()[len(got.events)-1])
	h.stop()
	require.Empty(t, h.exited, "the end is told inside the job")
}

// A server that is not the worker's answers on its port: it must not count as the worker.
func TestHealthOfAnotherProcessDoesNotCount(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = 0 })
	_, err := h.Spawn(t.Context(), readyJob("j", "live"), func(e messages.Event) {
		if e.Action != messages.ActionSpawned {
			return
		}
		h.started(e.Fields.PID)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", e.Fields.Port))
		if !assert.NoError(t, err) {
			return
		}
		server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Second}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })
	}, holdsNothing)
	require.ErrorIs(t, err, messages.PortInUse)
}

// loading runs a job that waits for the worker w, which was started before, and returns what it told and answered.
func (h *hive) loading(worker, model string, timeout int64) told {
	h.t.Helper()
	j := called(worker, "job-"+worker, model)
	j.Wait, j.ReadyTimeoutMS = messages.WaitReady, timeout
	return h.spawn(j)
}

func TestSlowWorkerIsToldToGoOn(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.SayLoading = 20 * time.Millisecond })
	w := h.run("w", "steps", "step 1")
	var got told
	require.Eventually(t, func() bool { // on a machine that stands still, it is seen to go on neither often nor at last
		got = h.loading("w", "steps", 400)
		require.ErrorIs(t, got.err, messages.NotReady)
		require.Contains(t, got.err.Message, "not ready within 400ms")
		return len(got.events) > 2 && strings.Contains(got.err.Message, "it goes on loading")
	}, patience, time.Millisecond)
	require.Contains(t, got.err.Message, "connection refused", "what the worker said last, not that time is up")
	require.NotEmpty(t, got.err.LogTail)
	require.NotEmpty(t, got.err.Command)
	require.Equal(t, w.LogPath, got.err.LogPath)
	require.GreaterOrEqual(t, got.err.LivedMS, int64(400))
	require.True(t, got.err.Retryable)

	var written int64
	told := 0
	for _, e := range got.events {
		if e.Action != messages.ActionLoading {
			continue
		}
		told++
		require.Greater(t, e.Fields.LogBytes, written)
		written = e.Fields.LogBytes
		require.Equal(t, []int{w.PID, w.Port}, []int{e.Fields.PID, e.Fields.Port})
		require.Regexp(t, `^Worker 'w' has been loading for \d+s: it has computed for \S+ and written \d+ bytes to its log$`, e.Human)
	}
	require.Greater(t, told, 1)
	require.Less(t, told, 20, "now and then, not each time that it is asked")
}

func TestWorkerThatStandsStill(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.SayLoading = 20 * time.Millisecond })
	h.run("w", "live", "playing")
	require.Eventually(t, func() bool { // a program that has just begun computes for a while
		got := h.loading("w", "live", 200)
		require.ErrorIs(t, got.err, messages.NotReady)
		return strings.Contains(got.err.Message, "it has neither computed nor written anything for more than 20ms")
	}, patience, time.Millisecond)
}

func TestLoadingIsToldSeldomUnlessAsked(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.run("w", "steps", "step 1")
	began := time.Now()
	got := h.loading("w", "steps", 200)
	require.ErrorIs(t, got.err, messages.NotReady)
	require.Equal(t, messages.ActionSpawnReplayed, got.actions()[0])
	require.LessOrEqual(t, len(got.actions())-1, int(time.Since(began)/(5*time.Second)), "every 5 seconds")
}

// That a worker was not ready in time is told while it loads, and not of one that served or has ended: it is no cause of an end.
func TestNotReadyInTimeIsTakenBack(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	for worker, model := range map[string]string{"serves": "serve:ready", "loads": "serve:never"} {
		got := h.loading(worker, model, 1)
		require.ErrorIs(t, got.err, messages.NotReady)
		w := h.get(worker)
		require.Equal(t, messages.StateStarting, w.State)
		require.ErrorIs(t, w.Failure, messages.NotReady)
		if worker == "serves" {
			require.Nil(t, h.awaitState(worker, messages.StateReady).Failure)
		}
		require.NoError(t, syscall.Kill(w.PID, syscall.SIGKILL))
		w = h.awaitState(worker, messages.StateExited)
		require.Nil(t, w.Failure)
		require.Equal(t, "SIGKILL", w.Signal)
	}
}
