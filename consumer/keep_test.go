package consumer_test

import (
	"context"
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

// While a request waits for its worker to be ready, the same job may come again and be done. What becomes of the first then is told to its
// caller and changes no result.
func TestWhatWasDoneMeanwhileStays(t *testing.T) {
	t.Parallel()
	notReady := messages.Errorf(messages.NotReady, "not in time")
	notReady.Retryable = true
	for name, failure := range map[string]*messages.Error{
		"it exits": messages.Errorf(messages.WorkerExited, "it exited while it loaded"), "it is not ready": notReady,
	} {
		for _, second := range []string{"queue", "request"} {
			t.Run(name+", "+second, func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, natstest.Server(t).URL())
				var calls atomic.Int32
				begun, open := make(chan struct{}), make(chan struct{})
				hive := f.keeper(spawnFunc(func(_ context.Context, job messages.Job, _ func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
					if calls.Add(1) == 1 {
						close(begun)
						<-open
						return messages.Result{}, failure
					}
					r := resultOf(job)
					r.Replayed = true
					return r, nil
				}), consumer.Config{MaxJobs: 4})
				w := listen(t, f.url, "reply.>")
				first := w.send(t, `{"job_id":"job-1","model":"m","device":"cpu","wait":"ready"}`)
				receive(t, begun)
				again := `{"job_id":"job-1","model":"m","device":"cpu"}`
				if second == "queue" {
					f.queue("job-1", again)
					f.awaitEmpty()
				} else {
					require.True(t, resultFrom(t, w.next(t, w.send(t, again))).Replayed)
				}
				f.success("job-1")
				close(open)
				require.Equal(t, failure.Code, failureOf(t, w.next(t, first)).Err.Code)
				require.NoError(t, hive.stop(t))
				f.success("job-1")
				require.EqualValues(t, 1, f.result("job-1").Sequence)
			})
		}
	}
}

// A refusal that came meanwhile gives way to what was started, and so does a failure that was to pass. A hive that stops sees to that first.
func TestWhatWasStartedTakesThePlaceOfARefusal(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	hive := f.keeper(g, consumer.Config{MaxJobs: 1, MaxWaiting: -1})
	w := listen(t, f.url, "reply.>")
	reply := w.send(t, jobFor("job-1"))
	job := g.next(t)
	require.Equal(t, messages.HiveBusy, failureOf(t, w.next(t, w.send(t, jobFor("job-1")))).Err.Code)
	require.Equal(t, messages.HiveBusy, f.failure("job-1").Code)
	job.through()
	answer := w.next(t, reply)
	resultFrom(t, answer)
	require.NotContains(t, answer.Header, jetstream.ExpectedLastSubjSeqHeader)
	require.NoError(t, hive.stop(t))
	f.success("job-1")
}

// Where there is no stream of results any more, whoever listens hears the result, and the answer waits for nothing.
func TestAResultWithoutItsStreamIsHeard(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	hive := f.keeper(g, consumer.Config{QueueLook: time.Hour})
	heard, err := f.nc.SubscribeSync("rbee.v1.result.gpu-1.>")
	require.NoError(t, err)
	w := listen(t, f.url, "reply.>")
	reply := w.send(t, jobFor("job-1"))
	job := g.next(t)
	require.NoError(t, f.js.DeleteStream(t.Context(), "RBEE_RESULTS"))
	job.through()
	resultFrom(t, w.next(t, reply))
	msg, err := heard.NextMsg(patience)
	require.NoError(t, err)
	resultFrom(t, msg)
	require.NoError(t, hive.stop(t))
	_, err = heard.NextMsg(time.Millisecond)
	require.ErrorIs(t, err, nats.ErrTimeout, "it is said once")
}
