package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

func TestAQueuedJobIsRunAsARequestIs(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	f.queue("job-1", `{"model":"meta-llama/Llama-3-8b","device":"cpu"}`) // before there is a hive

	f.keeper(sixSteps, consumer.Config{})
	require.Equal(t, "RBEE_JOBS", f.status().Queue)
	msg := f.result("job-1")
	r, err := messages.DecodeResult(msg.Data)
	require.NoError(t, err)
	require.Equal(t, messages.WorkerID("gpu-1", "job-1"), r.WorkerID)
	require.Equal(t, []string{"job-1", "gpu-1", ""}, []string{msg.Header.Get("Rbee-Job-Id"), msg.Header.Get("Rbee-Hive-Id"), msg.Header.Get("Rbee-Replayed")})
	f.awaitEmpty()

	events := f.story("job-1", 1)
	require.Len(t, events, 7)
	for i, e := range events {
		require.Equal(t, []int{i + 1, 1}, []int{e.Seq, e.Attempt})
		require.Equal(t, i == len(events)-1, e.Terminal)
	}
	info := f.consumer()
	require.Zero(t, info.NumRedelivered+info.NumAckPending)
	require.Equal(t, "rbee.v1.job.gpu-1.*.*", info.Config.FilterSubject)
	require.Equal(t, []any{jetstream.AckExplicitPolicy, 5, 30 * time.Second}, []any{info.Config.AckPolicy, info.Config.MaxDeliver, info.Config.AckWait})
	require.Empty(t, info.Config.BackOff)
}

func TestAQueuedDelete(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	f.keeper(spawned, consumer.Config{})
	f.queueOn("rbee.v1.job.gpu-1.worker_delete.job-1", `{"worker_id":"w1"}`)
	require.Equal(t, messages.WorkerNotFound, f.failure("job-1").Code)
	f.awaitEmpty()
	require.Equal(t, messages.ActionDeleteFailed, f.story("job-1", 1)[0].Action)
}

func TestAQueuedJobThatCannotRunHasAResultAllTheSame(t *testing.T) {
	t.Parallel()
	past := time.Now().Add(-time.Second).Format(time.RFC3339Nano)
	for name, test := range map[string]struct {
		operation, job string
		code           messages.Code
		says           string
	}{
		"another job":       {"worker_spawn", jobFor("job-2"), messages.InvalidJob, "job_id: is job-2 on a subject for job job-1"},
		"another operation": {"worker_spawn", `{"operation":"worker_delete","model":"m","device":"cpu"}`, messages.InvalidJob, "operation"},
		"another hive":      {"worker_spawn", `{"hive_id":"gpu-2","model":"m","device":"cpu"}`, messages.WrongHive, "gpu-2"},
		"no model":          {"worker_spawn", `{"device":"cpu"}`, messages.InvalidJob, "model"},
		"no JSON":           {"worker_spawn", `}`, messages.InvalidJob, ""},
		"nothing":           {"worker_spawn", ``, messages.InvalidJob, ""},
		"a question":        {"worker_list", `{}`, messages.InvalidJob, "ask it on rbee.v1.hive.gpu-1.worker_list"},
		"no operation":      {"worker_dance", `{}`, messages.UnknownOperation, "worker_dance"},
		"too late":          {"worker_spawn", `{"model":"m","device":"cpu","deadline":"` + past + `"}`, messages.DeadlineExceeded, "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, natstest.Server(t).URL())
			g := newGate()
			f.keeper(g, consumer.Config{})
			f.queueOn("rbee.v1.job.gpu-1."+test.operation+".job-1", test.job)
			failure := f.failure("job-1")
			require.Equal(t, test.code, failure.Code)
			require.Contains(t, failure.Message, test.says)
			require.False(t, failure.Retryable)
			f.awaitEmpty()
			require.True(t, f.story("job-1", 1)[0].Terminal)
			require.Empty(t, g.arrived)
			info, err := f.stream("RBEE_DEAD").Info(t.Context())
			require.NoError(t, err)
			require.Zero(t, info.State.Msgs, "a job with a result is none of the dead")
		})
	}
}

func TestAQueuedMessageThatNamesNoJobIsBuried(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	f.keeper(newGate(), consumer.Config{})
	f.queue("job$1", `{"model":"m","device":"cpu"}`)
	require.Contains(t, f.dead(), "job_id: on the subject")
	f.awaitEmpty()
}

func TestHeadersOfAQueuedJobDoNoHarm(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	f.keeper(spawned, consumer.Config{})
	heard, err := f.nc.SubscribeSync("elsewhere")
	require.NoError(t, err)
	_, err = f.js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "rbee.v1.job.gpu-1.worker_spawn.job-1", Data: []byte(llama),
		Header: nats.Header{"Nats-Msg-Id": {"job-1"}, "traceparent": {"00-zz"}, "Rbee-Reply-To": {"elsewhere"}, "Status": {"408"}},
	})
	require.NoError(t, err)
	f.success("job-1")
	f.awaitEmpty()
	n, _, err := heard.Pending()
	require.NoError(t, err)
	require.Zero(t, n, "the result subject serves a queued job, nothing else")
}

// failing is a spawner that fails with each error of a list, one after the other, and then succeeds.
func failing(errs ...error) (spawner spawnFunc, calls *atomic.Int64) {
	calls = new(atomic.Int64)
	return func(_ context.Context, job messages.Job, _ func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
		if n := int(calls.Add(1)); n <= len(errs) {
			return messages.Result{}, errs[n-1]
		}
		return resultOf(job), nil
	}, calls
}

func passing(code messages.Code) error {
	e := messages.Errorf(code, "not now")
	e.Retryable = true
	return e
}

func TestAPassingFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	spawner, calls := failing(passing(messages.NoFreePort))
	f.keeper(spawner, consumer.Config{})
	f.queue("job-1", llama)
	f.success("job-1")
	f.awaitEmpty()
	require.EqualValues(t, 2, calls.Load())
	events := f.story("job-1", 2)
	require.Len(t, events, 2)
	require.Equal(t, messages.ActionRetry, events[0].Action)
	require.Equal(t, []int{1, 1, 1, 2}, []int{events[0].Seq, events[0].Attempt, events[1].Seq, events[1].Attempt})
	require.Contains(t, events[0].Human, "no_free_port: not now")
	require.False(t, events[0].Terminal, "the job goes on")
	require.GreaterOrEqual(t, events[1].Time.Sub(events[0].Time), 500*time.Millisecond)
}

func TestAPassingFailureThatDoesNotPassIsTheResult(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	f.administrate(func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 2 })
	spawner, calls := failing(passing(messages.NoFreePort), passing(messages.SpawnFailed))
	f.keeper(spawner, consumer.Config{})
	f.queue("job-1", llama)
	require.Equal(t, messages.SpawnFailed, f.failure("job-1").Code)
	require.Contains(t, f.dead(), "attempts exhausted: spawn_failed")
	f.awaitEmpty()
	require.EqualValues(t, 2, calls.Load())
	events := f.story("job-1", 2)
	require.Equal(t, []bool{false, true}, []bool{events[0].Terminal, events[1].Terminal})

	f.queue("job-1", llama) // what might succeed later may be asked for again
	f.awaitEmpty()
	f.success("job-1")
}

func TestAFailureForGoodIsAResult(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	spawner, calls := failing(messages.Errorf(messages.WorkerNotInstalled, "no such worker"), messages.Errorf(messages.Internal, "not asked"))
	f.keeper(spawner, consumer.Config{})
	f.queue("job-1", llama)
	require.Equal(t, messages.WorkerNotInstalled, f.failure("job-1").Code)
	f.awaitEmpty()
	require.EqualValues(t, 1, calls.Load())
}

func TestAPanicIsAResultOfAQueuedJob(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	f.keeper(spawnFunc(func(context.Context, messages.Job, func(messages.Event), consumer.Waiting) (messages.Result, error) {
		panic("at the disco")
	}), consumer.Config{})
	f.queue("job-1", llama)
	require.Equal(t, messages.Internal, f.failure("job-1").Code)
	f.awaitEmpty()
}

func TestAJobInWorkIsNotDeliveredAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	f.administrate(func(c *jetstream.ConsumerConfig) { c.AckWait = 400 * time.Millisecond })
	g := newGate()
	f.keeper(g, consumer.Config{})
	f.administrate(func(*jetstream.ConsumerConfig) {}) // the hive goes by what it found; a machine that stands still has longer
	said := listen(t, f.url, "$JS.ACK.RBEE_JOBS.gpu-1.>")
	f.queue("job-1", llama)
	job := g.next(t)
	for range 7 { // more than two AckWaits
		require.Equal(t, "+WPI", string(said.next(t, "$JS.ACK").Data))
	}
	job.through()
	f.success("job-1")
	f.awaitEmpty()
	require.Zero(t, f.consumer().NumRedelivered)
	require.Empty(t, g.arrived)
}

func TestABusyHiveLeavesJobsInTheQueue(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	busy, idle := newGate(), newGate()
	f.keeper(busy, consumer.Config{MaxJobs: 2})
	for i := range 5 {
		f.queue(fmt.Sprintf("job-%d", i), `{"model":"m","device":"cpu"}`)
	}
	first := []*caller{busy.next(t), busy.next(t)}
	require.Equal(t, 2, f.consumer().NumAckPending, "one for each slot")
	f.awaitPending(3)

	f.keeper(idle, consumer.Config{MaxJobs: 8}) // another process of the hive
	for range 3 {
		idle.next(t).through()
	}
	for _, job := range first {
		job.through()
	}
	f.awaitEmpty()
	require.Empty(t, busy.arrived)
}

// The slot of a hive that waits for a job of the queue is a request's when it comes.
func TestARequestDoesNotWaitForAnEmptyQueue(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	asks := listen(t, f.url, "$JS.API.CONSUMER.MSG.NEXT.RBEE_JOBS.gpu-1")
	f.keeper(spawned, consumer.Config{MaxJobs: 1})
	for i := range 20 {
		asks.next(t, "$JS.API") // it waits for a job once more
		resultFrom(t, ask(t, f.nc, "gpu-1", jobFor(fmt.Sprintf("job-%d", i))))
	}
	f.queue("queued", llamaQueued)
	f.success("queued")
	f.awaitEmpty()
	require.Zero(t, f.consumer().NumRedelivered)
}

const llamaQueued = `{"model":"meta-llama/Llama-3-8b","device":"cpu"}`

func TestNeitherTheQueueNorTheRequestsStarve(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	f.keeper(g, consumer.Config{MaxJobs: 1})
	for i := range 10 {
		f.queue(fmt.Sprintf("queued-%d", i), llamaQueued)
	}
	at := g.next(t) // a queued one: the queue stands in line again
	w := listen(t, f.url, "reply.>")
	for i := range 3 {
		w.send(t, jobFor(fmt.Sprintf("asked-%d", i)))
	}
	accepted(t, w.nc)
	var order []string
	for range 13 {
		order = append(order, strings.TrimRight(at.job.JobID, "-0123456789"))
		at.through()
		if len(order) < 13 {
			at = g.next(t)
		}
	}
	require.ElementsMatch(t, []string{"queued", "queued", "asked", "asked", "asked"}, order[:5], "one turn of the queue for all that stand in line")
}
