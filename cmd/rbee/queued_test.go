//go:build unix

package main

import (
	"os"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/proctest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// A fleet of `rbee dev` has a queue, and Ctrl-C leaves a job in it.
func TestSpawnInterruptedLeavesTheJobInTheQueue(t *testing.T) {
	t.Parallel()
	stack, _, env := startStack(t)
	spawn := proctest.Start(t, env, "rbee", "spawn", "--hive", "elsewhere", "--model", "tiny", "--queue", "--job-id", "job-left")
	spawn.Await(`^job job-left is queued for hive elsewhere \(Ctrl-C leaves it there\)$`)
	spawn.Signal(os.Interrupt)
	code, said := spawn.Exit()
	require.Equal(t, 130, code, said)
	require.Contains(t, said, "rbee: interrupted; job job-left stays in the queue: `rbee jobs get job-left` shows what becomes of it")

	nc, err := nats.Connect(stack.NATSURL(), nats.Timeout(proctest.Patience))
	require.NoError(t, err)
	defer nc.Close()
	job, err := queen.New(nc, queen.Config{}).Job(t.Context(), "elsewhere", "job-left")
	require.NoError(t, err)
	require.Equal(t, queen.JobWaiting, job.State)
}

func TestWatchSinceBeginsInThePast(t *testing.T) {
	t.Parallel()
	_, _, env := startStack(t)
	code, said := proctest.Start(t, env, "rbee", "spawn", "--model", "tiny", "--worker-id", "worker-past").Exit()
	require.Equal(t, 0, code, said)
	watch := proctest.Start(t, env, "rbee", "watch", "--since", "10m", "-o", "json", "--action", string(messages.ActionSpawned))
	require.Contains(t, watch.Await(`^\{.*worker-past.*\}$`)[0], `"action":"worker_spawned"`)
	code, said = proctest.Start(t, env, "rbee", "spawn", "--model", "tiny", "--worker-id", "worker-present").Exit()
	require.Equal(t, 0, code, said)
	watch.Await(`^\{.*worker-present.*\}$`)
	watch.Signal(os.Interrupt)
	code, said = watch.Exit()
	require.Equal(t, 0, code, said)
}
