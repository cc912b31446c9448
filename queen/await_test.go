package queen_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func TestAwait(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		before []messages.Heartbeat
		during []messages.Heartbeat
		says   string // of the error, if the wait is in vain
	}{
		"it is so already": {before: []messages.Heartbeat{heartbeat("worker-1", messages.StatusReady)}},
		"it becomes so": {
			before: []messages.Heartbeat{heartbeat("worker-1", messages.StatusStarting)},
			during: []messages.Heartbeat{heartbeat("worker-2", messages.StatusReady), heartbeat("worker-1", messages.StatusReady)},
		},
		"it is so for a moment": {
			during: []messages.Heartbeat{heartbeat("worker-1", messages.StatusReady), heartbeat("worker-1", messages.StatusStopped)},
		},
		"it never comes": {says: "wait for worker worker-1 to be ready: context deadline exceeded: it has not sent a heartbeat"},
		"it is otherwise": {
			during: []messages.Heartbeat{heartbeat("worker-1", messages.StatusBusy)}, says: "context deadline exceeded: it is busy",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := queen.NewRegistry(queen.RegistryConfig{})
				for _, b := range tc.before {
					beat(t, r, b)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var worker queen.Worker
				var err error
				var awaited sync.WaitGroup
				awaited.Go(func() { worker, err = r.Await(ctx, "worker-1", messages.StatusReady) })
				synctest.Wait() // until it waits
				for _, b := range tc.during {
					beat(t, r, b)
				}
				awaited.Wait()
				if tc.says != "" {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.ErrorContains(t, err, tc.says)
					return
				}
				require.NoError(t, err)
				require.Equal(t, "worker-1", worker.ID)
				require.Equal(t, queen.StateReady, worker.State)
			})
		})
	}
}

func TestAwaitIsNotContentWithAStaleWorker(t *testing.T) {
	t.Parallel()
	clock := newClock()
	r := queen.NewRegistry(queen.RegistryConfig{Now: clock.Now})
	beat(t, r, heartbeat("worker-1", messages.StatusReady))
	clock.turn(2 * time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	worker, err := r.Await(ctx, "worker-1", messages.StatusReady)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "it is stale")
	require.Equal(t, queen.StateStale, worker.State)
}
