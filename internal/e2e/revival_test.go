//go:build linux

package e2e_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// Who waits for a worker to be ready gets the answer of the next hive when the one that had the job is killed, and one worker.
func TestSpawnOutlivesAKilledHive(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 2)
	client := queen.New(natstest.Dial(t, server.URL()), queen.Config{})
	h := m.serve()

	type outcome struct {
		result messages.Result
		told   []messages.Action
		err    error
	}
	spawned, done := make(chan struct{}), make(chan outcome, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var o outcome
		job := messages.Job{JobID: "job-1", WorkerID: "w1", Model: "gated", Device: "cpu", Wait: messages.WaitReady}
		o.result, o.err = client.Spawn(ctx, "gpu-1", job, func(e messages.Event) {
			if o.told = append(o.told, e.Action); e.Action == messages.ActionSpawned {
				close(spawned)
			}
		})
		done <- o
	}()
	<-spawned
	h.Kill()
	m.serve()
	require.NoError(t, os.WriteFile(m.path("go"), nil, 0o600))

	o := <-done
	require.NoError(t, o.err)
	require.True(t, o.result.Replayed)
	require.False(t, o.result.Ended)
	require.True(t, alive(o.result.PID))
	require.Len(t, m.starts(), 1)
	require.Contains(t, o.told, messages.ActionSpawnReplayed)
	require.Equal(t, messages.ActionSpawnComplete, o.told[len(o.told)-1])
}
