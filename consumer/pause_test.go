package consumer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/queen"
)

// A hive that is paused stays so, whether it restarts, finds its consumer as it left it, or brings it up to date.
func TestAPauseOutlivesTheHive(t *testing.T) {
	t.Parallel()
	for name, outdate := range map[string]bool{"as it was": false, "brought up to date": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, natstest.Server(t).URL())
			boss := queen.New(f.nc, queen.Config{})
			first := f.keeper(spawned, consumer.Config{})
			if outdate { // as an older hive would have made it
				cfg := f.consumer().Config
				cfg.MaxAckPending, cfg.MaxDeliver = 7, 50
				_, err := f.js.UpdateConsumer(t.Context(), "RBEE_JOBS", cfg)
				require.NoError(t, err)
			}
			until, err := boss.Pause(t.Context(), "gpu-1", time.Hour)
			require.NoError(t, err)
			require.NoError(t, first.stop(t))

			f.queue("job-1", llamaQueued)
			for range 3 {
				g := newGate()
				again := f.keeper(g, consumer.Config{})
				info := f.consumer()
				require.True(t, info.Paused)
				require.WithinDuration(t, until, *info.Config.PauseUntil, time.Millisecond)
				require.Equal(t, 5, info.Config.MaxDeliver)
				// It asks the server for a job, and is given none.
				require.Eventually(t, func() bool { return f.consumer().NumWaiting == 1 }, patience, time.Millisecond)
				require.Empty(t, g.arrived)
				require.NoError(t, again.stop(t))
			}
			require.EqualValues(t, 1, f.consumer().NumPending)

			f.keeper(spawned, consumer.Config{})
			require.NoError(t, boss.Resume(t.Context(), "gpu-1"))
			f.queue("job-2", llamaQueued) // the server looks at a resumed consumer when something happens, or else after some seconds
			f.success("job-1")
			f.success("job-2")
			f.awaitEmpty()
			require.Zero(t, f.consumer().NumRedelivered)
		})
	}
}
