package queen_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// sayStarted tells that the hive takes jobs.
func (h *hive) sayStarted() {
	h.publish(messages.Event{HiveID: h.id, Action: messages.ActionHiveStarted, Level: messages.LevelInfo, Human: "started"})
}

// A hive that is killed with a job and comes back is sent it again, and whoever listens hears no more of it than what the hive tells.
func TestSpawnSendsAgainWhenTheHiveHasStarted(t *testing.T) {
	t.Parallel()
	for name, listens := range map[string]bool{"with a listener": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Server(t)
			times := 0
			gpu := playHive(t, srv.URL(), "gpu-1", func(h *hive, req *nats.Msg, job messages.Job) {
				if times++; times == 1 {
					h.narrate(job, 1, messages.ActionSpawnStart)
					h.sayStarted() // the next one, which knows nothing of the request
					return
				}
				h.narrate(job, 1, messages.ActionSpawnReplayed)
				h.narrate(job, 2, messages.ActionSpawnComplete)
				h.reply(req, messages.Result{JobID: job.JobID, HiveID: h.id, WorkerID: "worker-1", PID: 12345, Port: 9001, Device: job.Device, Model: job.Model, Replayed: true})
			})
			client, nc := connect(t, srv.URL())
			var told []messages.Action
			narrate := func(e messages.Event) { told = append(told, e.Action) }
			if !listens {
				narrate = nil
			}
			result, err := client.Spawn(patient(t), "gpu-1", job(), narrate)
			require.NoError(t, err)
			require.True(t, result.Replayed)
			require.Len(t, gpu.jobs, 2)
			first, second := <-gpu.jobs, <-gpu.jobs
			require.Equal(t, first, second, "the same job")
			if listens {
				require.Equal(t, []messages.Action{messages.ActionSpawnStart, messages.ActionSpawnReplayed, messages.ActionSpawnComplete}, told)
			}
			require.Equal(t, 1, nc.NumSubscriptions(), "only the inbox is left")
		})
	}
}

// What is not the hive's own word, and the start of another hive, make nobody send anything.
func TestSpawnSendsAgainForNobodyElse(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	gpu := playHive(t, srv.URL(), "gpu-1", func(h *hive, req *nats.Msg, job messages.Job) {
		other := messages.Event{HiveID: "gpu-2", Action: messages.ActionHiveStarted, Level: messages.LevelInfo, Human: "started"}
		h.publish(other)
		other.Stamp(time.Now())
		h.send(h.subjects.Narration(h.id, messages.AboutHive, messages.ActionHiveStarted), other)
		_ = h.nc.Publish(h.subjects.Narration(h.id, messages.AboutHive, messages.ActionHiveStarted), []byte("hello"))
		h.narrate(job, 1, messages.ActionSpawnComplete)
		h.answer(req, job)
	})
	client, _ := connect(t, srv.URL())
	_, err := client.Spawn(patient(t), "gpu-1", job(), nil)
	require.NoError(t, err)
	require.Len(t, gpu.jobs, 1)
}

// That the hive is away again when it is sent the job again is no answer: it is waited for, and the first request may be answered, too.
func TestSpawnWaitsOnForAHiveThatIsAwayAgain(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	taken := make(chan *nats.Msg, 1)
	gpu := &hive{tb: t, nc: natstest.Dial(t, srv.URL()), id: "gpu-1"}
	// Who takes one message and no other is away before the next is sent.
	sub, err := gpu.nc.Subscribe(gpu.subjects.Request(gpu.id, messages.WorkerSpawn), func(req *nats.Msg) { taken <- req })
	require.NoError(t, err)
	require.NoError(t, sub.AutoUnsubscribe(1))
	require.NoError(t, gpu.nc.Flush())

	client, nc := connect(t, srv.URL())
	done := make(chan error, 1)
	go func() {
		_, err := client.Spawn(patient(t), "gpu-1", job(), nil)
		done <- err
	}()
	req := <-taken
	gpu.sayStarted()
	require.NoError(t, gpu.nc.Flush())
	require.Eventually(t, func() bool { return nc.Stats().OutMsgs == 3 && nc.Stats().InMsgs == 3 }, patience, time.Millisecond,
		"the start is heard, and that nobody answers who is asked for namesakes, and that nobody took the second")
	require.Empty(t, done)

	sent, err := messages.DecodeJob(req.Data, messages.WorkerSpawn)
	require.NoError(t, err)
	gpu.answer(req, sent)
	require.NoError(t, <-done)
	require.Equal(t, 1, nc.NumSubscriptions(), "only the inbox is left")
}

// process has a process of hive gpu-1 answer that has this run directory.
func process(tb testing.TB, url, dir string) {
	tb.Helper()
	meta := metadata("gpu-1")
	meta[messages.MetaHost], meta[messages.MetaRunDir] = "a", dir
	announce(tb, url, meta)
}

// The start of another machine with the same id is not the return of the hive that has the job: it would run there, too.
func TestSpawnSendsAgainToNoNamesake(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	asked := make(chan *nats.Msg, 1)
	gpu := playHive(t, srv.URL(), "gpu-1", func(h *hive, req *nats.Msg, _ messages.Job) { asked <- req })
	process(t, srv.URL(), "one")
	process(t, srv.URL(), "another")
	client, nc := connect(t, srv.URL())
	done := make(chan error, 1)
	go func() {
		_, err := client.Spawn(patient(t), "gpu-1", job(), nil)
		done <- err
	}()
	req := <-asked
	gpu.sayStarted()
	require.NoError(t, gpu.nc.Flush())
	require.Eventually(t, func() bool { return nc.Stats().InMsgs == 3 && nc.NumSubscriptions() == 2 }, patience, time.Millisecond,
		"both have answered, and nobody is listened to for more")
	require.Len(t, gpu.jobs, 1)
	gpu.answer(req, <-gpu.jobs)
	require.NoError(t, <-done)
	require.Empty(t, gpu.jobs)
}

// A start is heard once, however often it is told, and a hive that turns the second request away, because it drains or is busy, says
// nothing of the first: it is asked once more.
func TestSpawnIsNotTurnedAwayBySendingAgain(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	times := 0
	started := messages.Event{HiveID: "gpu-1", Action: messages.ActionHiveStarted, Level: messages.LevelInfo, Human: "started"}
	started.Stamp(time.Now())
	gpu := playHive(t, srv.URL(), "gpu-1", func(h *hive, req *nats.Msg, job messages.Job) {
		switch times++; times {
		case 1:
			for range 100 {
				h.send(h.subjects.Narration(h.id, messages.AboutHive, messages.ActionHiveStarted), started)
			}
		case 2:
			h.reply(req, messages.Failure{JobID: job.JobID, HiveID: h.id, Err: messages.Errorf(messages.HiveDraining, "is stopping")})
		default:
			h.answer(req, job)
		}
	})
	process(t, srv.URL(), "one")
	process(t, srv.URL(), "one")
	client, _ := connect(t, srv.URL())
	_, err := client.Spawn(patient(t), "gpu-1", job(), nil)
	require.NoError(t, err)
	require.Len(t, gpu.jobs, 3)
}
