//go:build linux

package spawner_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// A hive remembers who has ended, and learns all the same when another process of it starts one of those again.
func TestEndedWorkerThatIsStartedAgainIsListed(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	other, err := spawner.New(h.cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	stays, ends := job("stays", "live"), job("first", "live")
	ends.WorkerID = "mine"
	require.Nil(t, h.spawn(stays).err)
	for range 3 {
		got := h.spawn(ends)
		require.Nil(t, got.err)
		require.Equal(t, []int{got.result.PID}, listed(t, other, "mine"))
		require.NoError(t, syscall.Kill(got.result.PID, syscall.SIGKILL))
		require.Equal(t, "mine", (<-h.exited).WorkerID)
		for began := time.Now(); time.Since(began) < 150*time.Millisecond; { // long enough to be remembered
			require.Empty(t, listed(t, other, "mine"))
		}
		require.Equal(t, 1, other.Living())
		ends.JobID += "-again"
	}
	page, err := other.List(t.Context(), messages.ListRequest{Exited: true})
	require.NoError(t, err)
	require.Len(t, page.Workers, 2)
	require.Equal(t, messages.StateExited, page.Workers[0].State)
	require.Equal(t, "SIGKILL", page.Workers[0].Signal)
}

// listed returns the process of the worker if it is in the list, in which there must be one more.
func listed(t *testing.T, s *spawner.Spawner, worker string) (pids []int) {
	t.Helper()
	page, err := s.List(t.Context(), messages.ListRequest{})
	require.NoError(t, err)
	for _, w := range page.Workers {
		if w.WorkerID == worker {
			pids = append(pids, w.PID)
		}
	}
	require.Len(t, page.Workers, 1+len(pids))
	return pids
}
