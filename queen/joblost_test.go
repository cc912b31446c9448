package queen_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// pages returns what a filter lists, page by page.
func pages(t *testing.T, client *queen.Client, filter queen.JobFilter) (all []string) {
	t.Helper()
	for {
		page, err := client.Jobs(patient(t), filter)
		require.NoError(t, err)
		for _, j := range page.Jobs {
			require.Nil(t, j.Job)
			all = append(all, fmt.Sprintf("%s/%s/%s", j.HiveID, j.JobID, j.State))
		}
		if filter.After = page.Next; page.Next == "" {
			return all
		}
	}
}

// Jobs that left the queue without a result are listed by their traces, and each is told what became of it.
func TestJobsListsThoseThatCameToNoResult(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	enqueue := func(hive string, job messages.Job) uint64 {
		receipt, err := client.Enqueue(ctx, hive, job)
		require.NoError(t, err)
		return receipt.Sequence
	}
	enqueue("gpu-1", named("dead"))
	hive := die(t, url, client, "dead")
	retried, err := client.Retry(ctx, "gpu-1", "dead") // takes the dead one out of the queue
	require.NoError(t, err)
	hive.run(ctx)

	enqueue("gpu-1", named("cancelled"))
	_, err = client.Cancel(ctx, "gpu-1", "cancelled")
	require.NoError(t, err)
	late := named("late")
	late.Deadline = time.Now().Add(-time.Hour)
	remove(t, url, enqueue("gpu-1", late)) // what the server does a minute after the deadline
	remove(t, url, enqueue("gpu-2", named("gone")))
	enqueue("gpu-1", named("done"))
	hive.run(ctx)
	enqueue("gpu-1", named("waiting"))
	enqueue("gpu-2", named("cancelled")) // another job of that id, which waits

	want := []string{
		"gpu-1/waiting/waiting", "gpu-2/cancelled/waiting",
		"gpu-2/gone/gone", "gpu-1/late/expired", "gpu-1/cancelled/cancelled", "gpu-1/dead/dead",
		"gpu-1/done/done", "gpu-1/" + retried.JobID + "/done",
	}
	for _, limit := range []int{0, 1, 2, 3, 7} {
		require.Equal(t, want, pages(t, client, queen.JobFilter{Limit: limit}), "pages of %d", limit)
	}
	require.Equal(t, []string{"gpu-2/cancelled/waiting", "gpu-2/gone/gone"}, pages(t, client, queen.JobFilter{Hive: "gpu-2"}))
	for state, jobs := range map[queen.JobState][]string{
		queen.JobDead: want[5:6], queen.JobCancelled: want[4:5], queen.JobExpired: want[3:4], queen.JobGone: want[2:3],
		queen.JobWaiting: want[:2], queen.JobDone: want[6:], queen.JobFailed: nil, queen.JobRunning: nil,
	} {
		require.Equal(t, jobs, pages(t, client, queen.JobFilter{State: state}), state)
		for _, limit := range []int{1, 2} {
			require.Equal(t, jobs, pages(t, client, queen.JobFilter{State: state, Limit: limit}), state)
		}
	}
	// One that is queued again under its own id is none of the lost.
	_, err = hive.nc.Request("rbee.v1.job.gpu-2.worker_spawn.gone", []byte(`{"model":"m","device":"cpu"}`), patience)
	require.NoError(t, err)
	require.Equal(t, []string{"gpu-1/late/expired"}, pages(t, client, queen.JobFilter{State: queen.JobExpired}))
	require.Empty(t, pages(t, client, queen.JobFilter{State: queen.JobGone}))
}

// The server itself drops a job that is too old, or whose time to live is over, and says nothing.
func TestJobsThatTheServerDropsHaveExpired(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	js := natstest.JetStream(t, natstest.Dial(t, url))
	jobs, err := js.Stream(ctx, "RBEE_JOBS")
	require.NoError(t, err)

	// By its time to live, as a queen sets it with a deadline, but without the minute beyond.
	short := named("ttl")
	short.Deadline, short.HiveID, short.Operation = time.Now().Add(time.Second), "gpu-1", messages.WorkerSpawn
	data, err := short.Encode()
	require.NoError(t, err)
	ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: "rbee.v1.job.gpu-1.worker_spawn.ttl", Data: data}, jetstream.WithMsgTTL(time.Second))
	require.NoError(t, err)
	_, err = js.PublishMsg(ctx, &nats.Msg{
		Subject: "rbee.v1.trace.gpu-1.ttl.queued", Data: data, Header: nats.Header{"Rbee-Sequence": {fmt.Sprint(ack.Sequence)}},
	})
	require.NoError(t, err)
	// By its age.
	_, err = client.Enqueue(ctx, "gpu-1", named("age"))
	require.NoError(t, err)
	cfg := jobs.CachedInfo().Config
	cfg.MaxAge, cfg.Duplicates = time.Second, time.Second
	_, err = js.UpdateStream(ctx, cfg)
	require.NoError(t, err)

	require.Eventually(t, func() bool {
		info, err := jobs.Info(ctx)
		return err == nil && info.State.Msgs == 0
	}, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return time.Now().After(short.Deadline) }, patience, time.Millisecond)
	require.Equal(t, []string{"gpu-1/age/expired", "gpu-1/ttl/expired"}, pages(t, client, queen.JobFilter{State: queen.JobExpired}))
	known, err := client.Job(ctx, "gpu-1", "age")
	require.NoError(t, err)
	require.Equal(t, queen.JobExpired, known.State)
	require.NotNil(t, known.Job)
}
