package queen_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/netfault"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// behind returns a client whose connection goes through a proxy.
func behind(t *testing.T, url string) (*queen.Client, *netfault.Proxy) {
	t.Helper()
	proxy, err := netfault.New(strings.TrimPrefix(url, "nats://"))
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	client, _ := connect(t, "nats://"+proxy.Addr(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	return client, proxy
}

// short is how long a queen waits for what will not come.
func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// A queen who hears nothing does not know whether her job is queued, says so, and finds out by queueing it again.
func TestEnqueueSaysWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]netfault.Way{"the job is held": netfault.Up, "the answer is held": netfault.Down} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, near := queue(t, queen.StreamsConfig{})
			client, proxy := behind(t, url)
			proxy.Hold(way)
			_, err := client.Enqueue(short(t), "gpu-1", job())
			var unsure *queen.UnsureError
			require.ErrorAs(t, err, &unsure)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "may be in the queue all the same")
			require.ErrorContains(t, err, unsure.JobID)
			require.NoError(t, messages.CheckID(unsure.JobID), "the id that the job got is known, although nobody chose it")

			proxy.Heal()
			_, err = client.Enqueue(patient(t), "gpu-1", named(unsure.JobID))
			var duplicate *queen.DuplicateError
			require.ErrorAs(t, err, &duplicate)
			page, err := near.Jobs(patient(t), queen.JobFilter{})
			require.NoError(t, err)
			require.Equal(t, map[string]queen.JobState{unsure.JobID: queen.JobWaiting}, states(page.Jobs))
		})
	}
}

// What certainly was not queued is not said to be unsure.
func TestEnqueueKnowsWhatWasNotSent(t *testing.T) {
	t.Parallel()
	url, _ := queue(t, queen.StreamsConfig{})
	client, nc := connect(t, url)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	var unsure *queen.UnsureError
	_, err := client.Enqueue(over, "gpu-1", named("job-1"))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorAs(t, err, &unsure)
	nc.Close()
	_, err = client.Enqueue(patient(t), "gpu-1", named("job-1"))
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
	require.NotErrorAs(t, err, &unsure)
	other, _ := connect(t, url)
	_, err = other.Job(patient(t), "gpu-1", "job-1")
	var unknown *queen.JobNotFoundError
	require.ErrorAs(t, err, &unknown)
}

// The stream of jobs is there, and nobody takes jobs for it, as while a cluster chooses a leader. Here its subjects are others.
func TestEnqueueWhileNobodyTakesJobs(t *testing.T) {
	t.Parallel()
	url, client := queue(t, queen.StreamsConfig{})
	js := natstest.JetStream(t, natstest.Dial(t, url))
	stream, err := js.Stream(t.Context(), "RBEE_JOBS")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.Subjects = []string{"elsewhere"}
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = client.Enqueue(patient(t), "gpu-1", named("job-1"))
	require.ErrorIs(t, err, jetstream.ErrNoStreamResponse)
	require.ErrorContains(t, err, "nothing was queued: try again")
}

// A cluster that chooses who leads it says so to whoever asks. That is no reason to give up a job.
func TestAwaitWhileAClusterHasNoLeader(t *testing.T) {
	t.Parallel()
	url := natstest.Start(t, natsd.Config{}).URL()
	asked := make(chan struct{}, 100)
	cluster := natstest.Dial(t, url)
	_, err := cluster.Subscribe("$JS.API.>", func(req *nats.Msg) {
		_ = req.Respond([]byte(`{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`))
		asked <- struct{}{}
	})
	require.NoError(t, err)
	require.NoError(t, cluster.Flush())
	client, _ := connect(t, url)
	ctx, giveUp := context.WithCancel(patient(t))
	defer giveUp()
	ended := make(chan error, 1)
	go func() {
		_, err := client.Await(ctx, "gpu-1", "job-1", nil)
		ended <- err
	}()
	for range 2 { // it asks again
		select {
		case <-asked:
		case err := <-ended:
			require.FailNow(t, "it was given up", err)
		}
	}
	giveUp()
	var pending *queen.PendingError
	require.ErrorAs(t, <-ended, &pending)
}

// Whoever waits for a result behind a network that swallows everything is not held up longer than she said, and gets it afterwards.
func TestAwaitInABlackHole(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]netfault.Way{"up": netfault.Up, "down": netfault.Down, "both": netfault.Both} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, near := queue(t, queen.StreamsConfig{})
			client, proxy := behind(t, url)
			_, err := near.Enqueue(patient(t), "gpu-1", named("job-1"))
			require.NoError(t, err)
			proxy.Hold(way)
			begun := time.Now()
			_, err = client.Await(short(t), "gpu-1", "job-1", func(messages.Event) {})
			var pending *queen.PendingError
			require.ErrorAs(t, err, &pending)
			require.Less(t, time.Since(begun), patience/4)

			pull(t, url, "gpu-1", jetstream.ConsumerConfig{}).run(patient(t))
			proxy.Cut()
			proxy.Heal()
			var story told
			result, err := client.Await(patient(t), "gpu-1", "job-1", story.narrate)
			require.NoError(t, err)
			require.Equal(t, 12345, result.PID)
			require.Equal(t, wholeStory, story.actions)
		})
	}
}

// A request into a black hole ends when its caller says so, and nobody claims to know what became of it.
func TestSpawnInABlackHole(t *testing.T) {
	t.Parallel()
	url, _ := queue(t, queen.StreamsConfig{})
	playHive(t, url, "gpu-1", obedient)
	client, proxy := behind(t, url)
	proxy.Hold(netfault.Down)
	_, err := client.Spawn(short(t), "gpu-1", named("job-1"), func(messages.Event) {})
	var silent *queen.NoAnswerError
	require.ErrorAs(t, err, &silent)
	require.ErrorContains(t, err, "its worker may run all the same")
	proxy.Heal()
	result, err := client.Spawn(patient(t), "gpu-1", named("job-1"), nil)
	require.NoError(t, err)
	require.Equal(t, "job-1", result.JobID)
}

// A watcher is cut off, told of it, and hears what comes afterwards; the history has no gap.
func TestWatchersInABlackHole(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, _ := queue(t, queen.StreamsConfig{})
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	client, proxy := behind(t, url)
	live, err := client.Watch(ctx, queen.Filter{})
	require.NoError(t, err)
	defer live.Close()
	history, err := client.History(ctx, queen.Filter{}, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	defer history.Close()
	tell := func(seq int) {
		hive.narrate(named("job-1"), seq, messages.ActionLoading)
		require.NoError(t, hive.nc.Flush())
	}
	seen := func(next func(context.Context) (messages.Event, error), seq int) {
		event, err := next(ctx)
		require.NoError(t, err)
		require.Equal(t, seq, event.Seq)
	}
	tell(1)
	seen(live.Next, 1)
	seen(history.Next, 1)
	proxy.Hold(netfault.Down)
	tell(2)
	before := proxy.Accepted()
	proxy.Cut() // with what it holds
	proxy.Heal()
	require.Eventually(t, func() bool { return proxy.Accepted() > before }, patience, time.Millisecond)
	seen(history.Next, 2)
	for seq, gap := 3, error(nil); gap == nil; seq++ { // the first ones may come before it listens again
		tell(seq)
		limited, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		_, err := live.Next(limited)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		gap = err
		var missed *queen.GapError
		require.ErrorAs(t, gap, &missed)
		require.True(t, missed.Reconnected)
		require.Eventually(t, func() bool { event, err := live.Next(ctx); return err == nil && event.Seq <= seq }, patience, time.Millisecond)
	}
	seen(history.Next, 3)
}
