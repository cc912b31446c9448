//go:build linux

package spawner_test

import (
	"fmt"
	"net"
	"net/http"
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
	h := newHive(t, nil)
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
	}, func() {})
	require.ErrorIs(t, err, messages.PortInUse)
}
