//go:build linux

package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// streams makes the streams of queued jobs, and gpu-1's consumer as an administrator does who wants a job of a dead hive to
// come again after a second.
func streams(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js := natstest.JetStream(t, nc)
	for _, cfg := range []jetstream.StreamConfig{
		{
			Name: "RBEE_JOBS", Subjects: []string{"rbee.v1.job.>"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
			DiscardNewPerSubject: true, MaxMsgsPerSubject: 1, MaxMsgs: 10_000,
		},
		{Name: "RBEE_RESULTS", Subjects: []string{"rbee.v1.result.>"}, MaxMsgsPerSubject: 1, AllowDirect: true},
		{Name: "RBEE_NARRATION", Subjects: []string{"rbee.v1.narration.>"}},
	} {
		_, err := js.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
	}
	_, err := js.CreateConsumer(t.Context(), "RBEE_JOBS", jetstream.ConsumerConfig{
		Durable: "gpu-1", FilterSubject: "rbee.v1.job.gpu-1.*.*", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second, MaxDeliver: 5,
	})
	require.NoError(t, err)
	return js
}

func queue(t *testing.T, js jetstream.JetStream, id, model string) {
	t.Helper()
	_, err := js.Publish(t.Context(), "rbee.v1.job.gpu-1.worker_spawn."+id, []byte(jobFor(id, model)))
	require.NoError(t, err)
}

// stored waits for the outcome of a job in the stream of results.
func stored(t *testing.T, js jetstream.JetStream, id string) answer {
	t.Helper()
	results := natstest.Stream(t, js, "RBEE_RESULTS")
	var msg *jetstream.RawStreamMsg
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		msg, err = results.GetLastMsgForSubject(ctx, "rbee.v1.result.gpu-1."+id)
		return err == nil
	}, patience, 5*time.Millisecond)
	a, err := answerFrom(&nats.Msg{Header: msg.Header, Data: msg.Data})
	require.NoError(t, err)
	require.EqualValues(t, 1, msg.Sequence, "it is the only result")
	return a
}

// told reads the story of a job from the stream of narration, long after it was told.
func told(t *testing.T, js jetstream.JetStream, id string) (story []event) {
	t.Helper()
	c, err := js.OrderedConsumer(t.Context(), "RBEE_NARRATION", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"rbee.v1.narration.gpu-1." + id + ".>"}})
	require.NoError(t, err)
	for len(story) == 0 || !story[len(story)-1].Terminal {
		msg, err := c.Next(jetstream.FetchMaxWait(patience))
		require.NoError(t, err)
		story = append(story, eventFrom(t, &nats.Msg{Data: msg.Data()}))
	}
	return story
}

func awaitNoJob(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	jobs := natstest.Stream(t, js, "RBEE_JOBS")
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		info, err := jobs.Info(ctx)
		return err == nil && info.State.Msgs == 0
	}, patience, 5*time.Millisecond)
}

func TestAJobWaitsForItsHive(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	js := streams(t, natstest.Dial(t, server.URL()))
	queue(t, js, "job-1", "m")
	h := m.serve("RBEE_QUEUE=required")
	a := stored(t, js, "job-1")
	require.Nil(t, a.Error)
	require.True(t, alive(a.PID))
	awaitNoJob(t, js)
	story := told(t, js, "job-1")
	for i, e := range story {
		require.Equal(t, []int{i + 1, 1}, []int{e.Seq, e.Attempt})
	}
	require.Equal(t, "worker_spawn_complete", story[len(story)-1].Action)
	h.Kill()
	require.Equal(t, []int{a.PID}, m.orphans())
	requireStarts(t, map[string]int{"job-1": 1}, m)
}

// A hive is killed between the start of the worker and its result: the next one finds the worker, and answers for it.
func TestAQueuedJobOfAKilledHiveHasOneWorkerAndOneResult(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	js := streams(t, natstest.Dial(t, server.URL()))
	h := m.serve("RBEE_QUEUE=required", "RBEE_WATCH=30s")
	queue(t, js, "job-1", "mute") // it is watched as long as it does not listen
	requireStarts(t, map[string]int{"job-1": 1}, m)
	h.Kill()

	m.serve("RBEE_QUEUE=required")
	a := stored(t, js, "job-1")
	require.Nil(t, a.Error)
	require.True(t, a.Replayed)
	require.True(t, alive(a.PID))
	awaitNoJob(t, js)
	requireStarts(t, map[string]int{"job-1": 1}, m)
	story := told(t, js, "job-1")
	last := story[len(story)-1]
	require.Equal(t, "worker_spawn_complete", last.Action)
	require.Equal(t, 2, last.Attempt)
}
