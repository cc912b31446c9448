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

// What the hive has in hand stays in no queue.
func TestSpawnInterruptedTellsOfTheJobAtWork(t *testing.T) {
	t.Parallel()
	_, dir, env := startStack(t)
	installSlow(t, dir)
	spawn := proctest.Start(t, env, "rbee", "spawn", "--model", "tiny", "--worker", "slow", "--wait", "--queue", "--job-id", "job-slow", "--worker-id", "worker-slow")
	spawn.Await(`✅ Worker '.*' spawned`)
	spawn.Signal(os.Interrupt)
	code, said := spawn.Exit()
	require.Equal(t, 130, code, said)
	require.Contains(t, said, "rbee: interrupted; job job-slow is at work on the hive; `rbee jobs get job-slow` tells its outcome, `rbee workers rm worker-slow` ends its worker\n")
	require.NotContains(t, said, "cancel")
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var at progress
	require.Contains(t, at.goesOn("job-1"), "job job-1 stays in the queue: ")
	require.Nil(t, at.hear(nil), "nothing is narrated to nobody")
	told := 0
	hear := at.hear(func(messages.Event) { told++ })
	hear(messages.Event{Action: messages.ActionSpawnStart, WorkerID: "w1"})
	require.Contains(t, at.goesOn("job-1"), "is at work on the hive; `rbee jobs get job-1` tells its outcome, `rbee workers rm w1` ends its worker")
	hear(messages.Event{Action: messages.ActionRetry, WorkerID: "w1"})
	require.Contains(t, at.goesOn("job-1"), "job job-1 stays in the queue: ")
	hear(messages.Event{Action: messages.ActionDeleteStart, WorkerID: "w1"})
	at.worker = ""
	require.Equal(t, "job job-1 is at work on the hive; `rbee jobs get job-1` tells its outcome", at.goesOn("job-1"))
	require.Equal(t, 3, told)
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
