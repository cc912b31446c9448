package consumer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

func TestIdleHiveLeavesAtOnce(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	w := listen(t, srv.URL(), "rbee.v1.narration.>")
	r := serve(t, srv.URL(), spawned, consumer.Config{})

	require.NoError(t, r.stop(t))

	started := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.@hive.hive_started"))
	require.Zero(t, started.Seq+started.Attempt)
	draining := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1."))
	require.Equal(t, messages.ActionHiveDraining, draining.Action)
	require.Equal(t, "Hive 'gpu-1' takes no new jobs; finishing 0", draining.Human)
	stopped := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1."))
	require.Equal(t, messages.ActionHiveStopped, stopped.Action)
	require.Equal(t, "Hive 'gpu-1' stopped; its workers go on", stopped.Human)

	require.False(t, r.nc.IsClosed(), "the connection is the caller's")
	_, err := dial(t, srv.URL()).Request("rbee.v1.hive.gpu-1.worker_spawn", []byte(llama), patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func TestDrainFinishesWhatIsInFlightAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	r := serve(t, srv.URL(), g, consumer.Config{MaxJobs: 1})
	w := tap(t, srv.URL())
	settling := w.send(t, jobFor("settling"))
	a := g.next(t)
	a.waiting()
	working := w.send(t, jobFor("working"))
	b := g.next(t)
	inLine := []string{w.send(t, jobFor("line-1")), w.send(t, jobFor("line-2"))}
	accepted(t, w.nc)

	r.cancel()
	said, refused := false, map[string]bool{}
	for !said || len(refused) < len(inLine) {
		switch msg := receive(t, w.heard); {
		case strings.HasPrefix(msg.Subject, "reply."):
			require.Contains(t, inLine, msg.Subject)
			refusedByDrain(t, msg)
			refused[msg.Subject] = true
		case msg.Subject == "rbee.v1.narration.gpu-1.@hive.hive_draining":
			e := eventOf(t, msg)
			require.Equal(t, 2, e.Fields.Jobs)
			require.Equal(t, "Hive 'gpu-1' takes no new jobs; finishing 2", e.Human)
			said = true
		}
	}
	refusedByDrain(t, ask(t, w.nc, "gpu-1", jobFor("new")))
	require.Equal(t, messages.ActionSpawnFailed, eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.new.")).Action)
	w.next(t, "rbee.v1.result.gpu-1.new")

	require.NoError(t, a.ctx.Err())
	require.Empty(t, r.done)
	a.through()
	resultFrom(t, w.next(t, settling))
	require.Empty(t, r.done)
	require.NoError(t, b.ctx.Err())
	b.emit(messages.Event{Action: messages.ActionSpawned})
	b.through()
	resultFrom(t, w.next(t, working))
	require.NoError(t, r.wait(t))
	w.next(t, "rbee.v1.narration.gpu-1.@hive.hive_stopped")
	require.Empty(t, w.rest(t, r.nc), "something follows hive_stopped")
}

func refusedByDrain(t *testing.T, msg *nats.Msg) {
	t.Helper()
	f := failureOf(t, msg)
	require.Equal(t, messages.HiveDraining, f.Err.Code)
	require.True(t, f.Err.Retryable)
	require.Equal(t, "503", msg.Header.Get("Nats-Service-Error-Code"))
}

func TestDrainInterruptsJobsThatTakeTooLong(t *testing.T) {
	t.Parallel()
	for name, timeout := range map[string]time.Duration{"after a while": 10 * time.Millisecond, "at once": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Server(t)
			g := newGate()
			r := serve(t, srv.URL(), g, consumer.Config{DrainTimeout: timeout})
			w := tap(t, srv.URL())
			reply := w.send(t, llama)
			g.next(t)

			require.NoError(t, r.stop(t))
			require.Equal(t, messages.HiveDraining, eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.job-1.")).Fields.Error.Code)
			refusedByDrain(t, w.next(t, reply))
		})
	}
}

func TestInterruptedSpawnerKeepsItsOwnError(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	started := make(chan struct{})
	r := serve(t, srv.URL(), spawnFunc(func(ctx context.Context, _ messages.Job, _ func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
		close(started)
		<-ctx.Done()
		return messages.Result{}, messages.Errorf(messages.NotReady, "the worker runs but is not ready: %w", ctx.Err())
	}), consumer.Config{DrainTimeout: -1})
	w := tap(t, srv.URL())
	reply := w.send(t, llama)
	receive(t, started)

	require.NoError(t, r.stop(t))
	require.Equal(t, messages.NotReady, failureOf(t, w.next(t, reply)).Err.Code)
}

func TestSpawnerThatNeverReturnsIsAnError(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	started, end := make(chan struct{}), make(chan struct{})
	r := serve(t, srv.URL(), spawnFunc(func(_ context.Context, job messages.Job, _ func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
		close(started)
		<-end
		return resultOf(job), nil
	}), consumer.Config{DrainTimeout: -1})
	w := tap(t, srv.URL())
	reply := w.send(t, llama)
	receive(t, started)

	require.ErrorContains(t, r.stop(t), "1 jobs go on")
	close(end)
	resultFrom(t, w.next(t, reply)) // its caller hears of it all the same while the process lives
}

// Not parallel: it counts the goroutines of the process.
func TestNothingIsLeftBehind(t *testing.T) {
	srv := natstest.Server(t)
	nc, client := dial(t, srv.URL()), dial(t, srv.URL())
	_, err := client.Request("nobody", nil, patience) // the first request begins what a connection needs for them
	require.ErrorIs(t, err, nats.ErrNoResponders)
	accepting, err := nc.SubscribeSync("of.the.caller")
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	before := goleak.IgnoreCurrent()

	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- consumer.Run(ctx, nc, sixSteps, consumer.Config{HiveID: "gpu-1", Ready: func() { close(ready) }})
	}()
	receive(t, ready)
	for range 50 {
		resultFrom(t, ask(t, client, "gpu-1", `{"model":"m","device":"cpu"}`))
	}
	cancel()
	require.NoError(t, receive(t, done))

	require.NoError(t, leaktest.Find(before))
	require.True(t, accepting.IsValid())
	require.Equal(t, 1, nc.NumSubscriptions())
}
