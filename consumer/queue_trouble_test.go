package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/messages"
)

func TestAHiveThatRequiresItsQueueDoesNotStartWithoutIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		store, says string
	}{
		"no stream":    {t.TempDir(), "stream RBEE_JOBS is missing: make it with rbee streams apply"},
		"no JetStream": {"", "no JetStream"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, err := natsd.Start(natsd.Config{StoreDir: test.store})
			require.NoError(t, err)
			t.Cleanup(srv.Shutdown)
			r := run(t, dial(t, srv.URL()), spawned, consumer.Config{HiveID: "gpu-1", Queue: consumer.QueueRequired})
			require.ErrorContains(t, r.wait(t), test.says)
		})
	}
}

func TestAnUnknownQueueModeIsRefused(t *testing.T) {
	t.Parallel()
	err := consumer.Run(t.Context(), natstest.Connect(t), spawned, consumer.Config{HiveID: "gpu-1", Queue: "often"})
	require.ErrorContains(t, err, "use auto, off or required")
}

func TestAHiveFindsItsQueueLater(t *testing.T) {
	t.Parallel()
	f := noFleet(t, natstest.Server(t).URL())
	log := &logged{}
	serve(t, f.url, spawned, consumer.Config{Queue: consumer.QueueAuto, QueueLook: 5 * time.Millisecond, Logger: log.logger()})
	require.Eventually(t, func() bool { return log.count("hive takes requests only") == 1 }, patience, time.Millisecond)
	resultFrom(t, ask(t, f.nc, "gpu-1", jobFor("by-request")))
	require.Empty(t, f.status().Queue)

	for round := range 3 { // the stream goes and comes back
		f.makeStreams()
		id := []string{"job-a", "job-b", "job-c"}[round]
		f.queue(id, llamaQueued)
		f.success(id)
		f.awaitEmpty()
		require.Equal(t, "RBEE_JOBS", f.status().Queue)
		for _, name := range []string{"RBEE_JOBS", "RBEE_RESULTS", "RBEE_NARRATION", "RBEE_DEAD"} {
			require.NoError(t, f.js.DeleteStream(t.Context(), name))
		}
		require.Eventually(t, func() bool { return f.status().Queue == "" }, patience, time.Millisecond)
	}
	require.Equal(t, 3, log.count("hive takes queued jobs"))
	require.LessOrEqual(t, log.count("hive takes requests only"), 7, "once per state, not once per look")
}

func TestAHiveWithoutItsQueueAsksNothingOfJetStream(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	asked := listen(t, f.url, "$JS.>")
	r := serve(t, f.url, spawned, consumer.Config{Queue: consumer.QueueOff})
	resultFrom(t, ask(t, f.nc, "gpu-1", jobFor("job-1")))
	require.Empty(t, asked.rest(t, r.nc))
	require.Empty(t, f.status().Queue)
}

func TestWithoutAStreamOfResultsTheQueueIsServedAllTheSame(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	require.NoError(t, f.js.DeleteStream(t.Context(), "RBEE_RESULTS"))
	results := listen(t, f.url, "rbee.v1.result.>")
	f.keeper(spawned, consumer.Config{})
	f.queue("job-1", llama)
	resultFrom(t, results.next(t, "rbee.v1.result.gpu-1.job-1"))
	f.awaitEmpty()
}

func TestAStreamOfResultsThatGoesAwayHoldsNothingUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	f.keeper(g, consumer.Config{})
	f.queue("job-1", llama)
	job := g.next(t)
	require.NoError(t, f.js.DeleteStream(t.Context(), "RBEE_RESULTS"))
	job.through()
	f.awaitEmpty()
}

func TestAConsumerThatAHiveMadeIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	until := time.Now().Add(time.Hour).UTC()
	f.administrate(func(c *jetstream.ConsumerConfig) {
		c.Metadata, c.MaxDeliver, c.PauseUntil = map[string]string{"made_by": "rbee-hive"}, 50, &until
	})
	f.keeper(spawned, consumer.Config{})
	info := f.consumer()
	require.Equal(t, 5, info.Config.MaxDeliver)
	require.True(t, info.Paused, "a pause stays")
}

func TestAConsumerThatWouldTakeOtherHivesJobsIsNotUsed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*jetstream.ConsumerConfig)
		says   string
	}{
		"all hives":    {func(c *jetstream.ConsumerConfig) { c.FilterSubject = "rbee.v1.job.>" }, "must be rbee.v1.job.gpu-1.*.*"},
		"another hive": {func(c *jetstream.ConsumerConfig) { c.FilterSubject = "rbee.v1.job.gpu-10.*.*" }, "must be rbee.v1.job.gpu-1.*.*"},
		"every hive":   {func(c *jetstream.ConsumerConfig) { c.FilterSubject = "" }, "must be rbee.v1.job.gpu-1.*.*"},
		"pushed":       {func(c *jetstream.ConsumerConfig) { c.DeliverSubject = "somewhere" }, "pull"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, natstest.Server(t).URL())
			cfg := jetstream.ConsumerConfig{Durable: "gpu-1", FilterSubject: "rbee.v1.job.gpu-1.*.*", AckPolicy: jetstream.AckExplicitPolicy}
			test.change(&cfg)
			var err error
			if cfg.DeliverSubject != "" {
				_, err = f.js.CreatePushConsumer(t.Context(), "RBEE_JOBS", cfg)
			} else {
				_, err = f.js.CreateConsumer(t.Context(), "RBEE_JOBS", cfg)
			}
			require.NoError(t, err)
			r := run(t, dial(t, f.url), spawned, consumer.Config{HiveID: "gpu-1", Queue: consumer.QueueRequired})
			require.ErrorContains(t, r.wait(t), test.says)
		})
	}
}

// The rights that a hive needs when an administrator made its consumer; and it can use no more.
const rightsOfAHive = `
	authorization { users: [
		{user: admin, password: a}
		{user: hive, password: h, permissions: {
			publish: { allow: [
				"rbee.v1.result.gpu-1.*", "rbee.v1.narration.gpu-1.>",
				"$JS.API.CONSUMER.INFO.RBEE_JOBS.gpu-1", "$JS.API.CONSUMER.MSG.NEXT.RBEE_JOBS.gpu-1",
				"$JS.API.DIRECT.GET.RBEE_RESULTS.rbee.v1.result.gpu-1.*",
				"$JS.ACK.RBEE_JOBS.gpu-1.>", "$JS.ACK.*.*.RBEE_JOBS.gpu-1.>"
			] }
			subscribe: { allow: ["rbee.v1.hive.gpu-1.* gpu-1", "_INBOX.>", "$SRV.>"] }
			allow_responses: { max: 1, expires: "1h" }
		}}
	] }`

func TestAHiveThatMayNotMakeItsConsumerUsesTheAdministrators(t *testing.T) {
	t.Parallel()
	srv := restricted(t, rightsOfAHive)
	f := newFleet(t, srv.URL(), nats.UserInfo("admin", "a"))
	f.administrate(func(c *jetstream.ConsumerConfig) { c.MaxDeliver, c.AckWait = 7, 20*time.Second })
	log := &logged{}
	serve(t, f.url, spawned, consumer.Config{Queue: consumer.QueueRequired, Logger: log.logger()}, nats.UserInfo("hive", "h"))
	f.queue("job-1", llama)
	f.success("job-1")
	f.awaitEmpty()
	require.Equal(t, 7, f.consumer().Config.MaxDeliver)
	require.Equal(t, 1, log.count("max deliver is 7, not 5"))
	require.Zero(t, log.count("ERROR"))
}

func TestTheQueueGoesOnWhenTheServerIsBack(t *testing.T) {
	t.Parallel()
	store, port := t.TempDir(), porttest.One(t)
	start := func() *natsd.Server { return natstest.Start(t, natsd.Config{Port: port, StoreDir: store}) }
	srv := start()
	f := newFleet(t, srv.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond))
	g := newGate()
	serve(t, f.url, g, consumer.Config{Queue: consumer.QueueRequired, QueueLook: 10 * time.Millisecond}, nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond))
	f.queue("before", llamaQueued)
	job := g.next(t)
	srv.Shutdown()
	job.through() // while nobody can be told
	start()
	require.Eventually(t, func() bool { return f.nc.IsConnected() }, patience, time.Millisecond)
	f.success("before")
	f.queue("after", llamaQueued)
	g.next(t).through()
	f.success("after")
	f.awaitEmpty()
	require.Empty(t, g.arrived)
}

func TestADrainStrandsNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	leaving := f.keeper(g, consumer.Config{MaxJobs: 2})
	for _, id := range []string{"job-1", "job-2", "job-3", "job-4"} {
		f.queue(id, llamaQueued)
	}
	jobs := []*caller{g.next(t), g.next(t)}
	leaving.cancel()
	w := listen(t, f.url, "reply.>")
	require.Eventually(t, func() bool { // it drains
		msg, err := w.nc.Request("rbee.v1.hive.gpu-1.worker_spawn", []byte(jobFor("late")), patience)
		return err == nil && failureOf(t, msg).Err.Code == messages.HiveDraining
	}, patience, time.Millisecond)
	for _, job := range jobs {
		job.through()
	}
	require.NoError(t, leaving.wait(t))
	require.Empty(t, g.arrived)
	require.Zero(t, f.consumer().NumAckPending, "what began has ended")
	f.awaitPending(2) // what did not begin was never taken

	f.keeper(spawned, consumer.Config{})
	f.awaitEmpty()
	require.Zero(t, f.consumer().NumRedelivered)
	for _, id := range []string{"job-3", "job-4"} {
		require.Equal(t, 1, f.story(id, 1)[0].Attempt)
	}
}

func TestAJobThatTheDrainInterruptsGoesBackAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	leaving := f.keeper(g, consumer.Config{DrainTimeout: -1})
	f.queue("job-1", llama)
	g.next(t)
	require.NoError(t, leaving.stop(t))
	f.keeper(spawned, consumer.Config{})
	f.success("job-1")
	f.awaitEmpty()
	events := f.story("job-1", 2)
	require.Equal(t, messages.ActionRetry, events[0].Action)
	require.Equal(t, messages.HiveDraining, events[0].Fields.Error.Code)
	require.Equal(t, 2, events[1].Attempt)
}

// An idle hive holds no pull that would take a job with it when it leaves.
func TestAnIdleHiveLeavesNoPullBehind(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	for range 20 {
		leaving := f.keeper(newGate(), consumer.Config{})
		go func() { _, _ = f.js.Publish(context.Background(), "rbee.v1.job.gpu-1.worker_spawn.job-x", []byte("}")) }()
		require.NoError(t, leaving.stop(t))
	}
	require.Zero(t, f.consumer().NumWaiting)
}
