//go:build linux

package e2e_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// A hive stands still, as on a machine that is suspended or has far too much to do, and the time to watch a worker is over when it
// goes on: it asks whether the worker has ended before it says that it runs.
func TestAHiveThatStoodStillKnowsThatItsWorkerHasEnded(t *testing.T) {
	t.Parallel()
	const workers, watch = 6, time.Second
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	nc := natstest.Dial(t, server.URL())
	h := m.serve("RBEE_WATCH=" + watch.String())
	answers := make(chan answer, workers)
	for i := range workers {
		go func() {
			a, err := request(context.Background(), nc, "gpu-1", jobFor(fmt.Sprintf("job-%d", i), "mute"))
			if err != nil {
				a.JobID = err.Error()
			}
			answers <- a
		}()
	}
	require.Eventually(t, func() bool { return len(m.starts()) == workers }, patience, time.Millisecond)
	h.Signal(syscall.SIGSTOP)
	stopped := time.Now()
	for _, s := range m.starts() {
		require.NoError(t, syscall.Kill(s.pid, syscall.SIGKILL))
	}
	require.Eventually(t, func() bool { return time.Since(stopped) > watch }, patience, 10*time.Millisecond)
	h.Signal(syscall.SIGCONT)
	for range workers {
		a := <-answers
		require.NotNil(t, a.Error, "%+v", a)
		require.Equal(t, "worker_exited", a.Error.Code)
		require.Equal(t, "SIGKILL", a.Error.Signal)
	}
}
