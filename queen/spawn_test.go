package queen_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

func TestSpawnTellsTheWholeStoryBeforeItReturns(t *testing.T) {
	t.Parallel()
	const steps, rounds = 200, 20
	srv := natstest.Server(t)
	playHive(t, srv.URL(), "gpu-1", func(h *hive, req *nats.Msg, job messages.Job) {
		for seq := 1; seq < steps; seq++ {
			h.narrate(job, seq, messages.ActionReady)
		}
		h.narrate(job, steps, messages.ActionSpawnComplete)
		h.answer(req, job)
	})
	client, nc := connect(t, srv.URL())

	var all sync.WaitGroup
	for range rounds {
		all.Go(func() {
			var told []messages.Event // without a lock: the race detector sees any other goroutine, and any call that comes late
			result, err := client.Spawn(patient(t), "gpu-1", job(), func(e messages.Event) { told = append(told, e) })
			if err != nil || len(told) != steps || !told[steps-1].Terminal {
				t.Errorf("%d events were told: %v", len(told), err)
				return
			}
			for i, e := range told {
				if e.Seq != i+1 || e.JobID != result.JobID {
					t.Errorf("event %d of job %s is %d of %s", i+1, result.JobID, e.Seq, e.JobID)
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, 1, nc.NumSubscriptions(), "only the inbox is left")
}

func TestSpawnWithoutAListenerSubscribesToNoStory(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	client, nc := connect(t, srv.URL())
	subscriptions := make(chan int, 1)
	playHive(t, srv.URL(), "gpu-1", func(h *hive, req *nats.Msg, job messages.Job) {
		subscriptions <- nc.NumSubscriptions()
		obedient(h, req, job)
	})
	result, err := client.Spawn(patient(t), "gpu-1", job(), nil)
	require.NoError(t, err)
	require.Equal(t, 9001, result.Port)
	require.Equal(t, 2, <-subscriptions, "the inbox and the start of the hive alone")
	require.Equal(t, 1, nc.NumSubscriptions(), "only the inbox is left")
}

func TestSpawnCompletesTheJob(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	gpu := playHive(t, srv.URL(), "gpu-1", obedient)
	client, _ := connect(t, srv.URL())
	ctx := patient(t)
	limit, _ := ctx.Deadline()

	_, err := client.Spawn(ctx, "gpu-1", job(), nil)
	require.NoError(t, err)
	sent := <-gpu.jobs
	require.Equal(t, messages.WorkerSpawn, sent.Operation)
	require.Equal(t, "gpu-1", sent.HiveID)
	require.NoError(t, messages.CheckID(sent.JobID))
	require.True(t, sent.Deadline.Equal(limit), "the deadline is that of the context")

	own := job()
	own.JobID, own.Deadline = "job-mine", limit.Add(-time.Second).UTC()
	result, err := client.Spawn(ctx, "gpu-1", own, nil)
	require.NoError(t, err)
	require.Equal(t, "job-mine", result.JobID)
	sent = <-gpu.jobs
	require.Equal(t, "job-mine", sent.JobID)
	require.True(t, sent.Deadline.Equal(own.Deadline), "a deadline that the caller set stays")

	_, err = client.Spawn(context.WithoutCancel(ctx), "gpu-1", job(), nil)
	require.NoError(t, err)
	require.Zero(t, (<-gpu.jobs).Deadline)
}

func TestSpawnWaitsForAnEndThatTheAnswerOvertook(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	playHive(t, srv.URL(), "gpu-1", func(h *hive, req *nats.Msg, job messages.Job) {
		h.narrate(job, 1, messages.ActionSpawnStart)
		h.answer(req, job)
		h.narrate(job, 2, messages.ActionSpawnComplete)
	})
	playHive(t, srv.URL(), "gpu-2", func(h *hive, req *nats.Msg, job messages.Job) {
		h.narrate(job, 1, messages.ActionSpawnStart) // and nothing more
		h.answer(req, job)
	})
	client, _ := connect(t, srv.URL())
	for hive, events := range map[string]int{"gpu-1": 2, "gpu-2": 1} {
		told := 0
		_, err := client.Spawn(patient(t), hive, job(), func(messages.Event) { told++ })
		require.NoError(t, err)
		require.Equal(t, events, told, hive)
	}
}

func TestSpawnTellsOnlyWhatTheHiveSaysOfItsJob(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	playHive(t, srv.URL(), "gpu-1", func(h *hive, req *nats.Msg, job messages.Job) {
		own := messages.Event{HiveID: h.id, JobID: job.JobID, Action: messages.ActionSpawned}
		subject := h.subjects.Narration(h.id, job.JobID, own.Action)
		otherHive, otherJob, otherAction := own, own, own
		otherHive.HiveID, otherJob.JobID, otherAction.Action = "gpu-2", "job-other", messages.ActionReady
		for _, e := range []messages.Event{otherHive, otherJob, otherAction} {
			e.Stamp(time.Now())
			h.send(subject, e)
		}
		h.send(subject, own) // without a type, it is no event
		_ = h.nc.Publish(subject, []byte("hello"))
		h.narrate(job, 1, messages.ActionSpawnComplete)
		h.answer(req, job)
	})
	client, _ := connect(t, srv.URL())
	var told []messages.Action
	_, err := client.Spawn(patient(t), "gpu-1", job(), func(e messages.Event) { told = append(told, e.Action) })
	require.NoError(t, err)
	require.Equal(t, []messages.Action{messages.ActionSpawnComplete}, told)
}

func TestSpawnByAUserWhoMayNotReadNarration(t *testing.T) {
	t.Parallel()
	srv := guarded(t, `publish: ">", subscribe: "_INBOX.>"`)
	for name, opts := range map[string][]nats.Option{
		"plain connection":                      nil,
		"connection that tells refusals to all": {nats.PermissionErrOnSubscribe(true)},
	} {
		t.Run(name, func(t *testing.T) {
			playGuardedHive(t, srv.URL())
			opts := append(opts, nats.UserInfo("queen", "q"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
			client, _ := connect(t, srv.URL(), opts...)
			result, err := client.Spawn(patient(t), "gpu-1", job(), func(messages.Event) { t.Error("something was narrated") })
			require.NoError(t, err)
			require.Equal(t, 12345, result.PID)
		})
	}
}

func TestSpawnLetsAPanicOfTheListenerThrough(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	playHive(t, srv.URL(), "gpu-1", func(h *hive, _ *nats.Msg, job messages.Job) {
		h.narrate(job, 1, messages.ActionSpawnStart) // and never an answer: the leak check sees a request that goes on
	})
	client, nc := connect(t, srv.URL())
	require.PanicsWithValue(t, "enough", func() {
		_, _ = client.Spawn(context.WithoutCancel(t.Context()), "gpu-1", job(), func(messages.Event) { panic("enough") })
	})
	require.Equal(t, 1, nc.NumSubscriptions(), "only the inbox is left")
}

func playGuardedHive(t *testing.T, url string) {
	t.Helper()
	nc := natstest.Dial(t, url, nats.UserInfo("hive", "h"))
	h := &hive{tb: t, nc: nc, id: "gpu-1"}
	_, err := nc.Subscribe(h.subjects.Request(h.id, messages.WorkerSpawn), func(req *nats.Msg) {
		sent, err := messages.DecodeJob(req.Data, messages.WorkerSpawn)
		if err != nil {
			t.Error(err)
		}
		obedient(h, req, sent)
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
}

// spawnNowhere asks gpu-9 until the error knows n hives: on a busy machine one that answers late is missed.
