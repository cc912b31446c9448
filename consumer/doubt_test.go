package consumer_test

import (
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
)

// troubled puts something in the place of the stream of results that is there and answers no question about a job, until it is mended.
// It counts those questions.
func (f *fleet) troubled() (asked *atomic.Int32, mend func()) {
	f.tb.Helper()
	require.NoError(f.tb, f.js.DeleteStream(f.tb.Context(), "RBEE_RESULTS"))
	asked = new(atomic.Int32)
	sub, err := f.nc.Subscribe("$JS.API.DIRECT.GET.RBEE_RESULTS.>", func(msg *nats.Msg) {
		answer := nats.NewMsg(msg.Reply)
		answer.Header.Set("Status", "404")
		if !strings.HasSuffix(msg.Subject, ".@hive") {
			asked.Add(1)
			answer.Header.Set("Status", "503")
			answer.Header.Set("Description", "in trouble")
		}
		_ = f.nc.PublishMsg(answer)
	})
	require.NoError(f.tb, err)
	require.NoError(f.tb, f.nc.Flush())
	return asked, func() {
		f.makeStreams() // before the other leaves: one that is gone is waited for by nobody
		require.NoError(f.tb, sub.Unsubscribe())
		require.NoError(f.tb, f.nc.Flush())
	}
}

// However long the stream of results does not answer, no job is given up because of it, none begins that may have been done before,
// and requests go on.
func TestAQueuedJobOutlastsTroubleWithTheStreamOfResults(t *testing.T) {
	t.Parallel()
	const jobs = 5
	f := newFleet(t, natstest.Server(t).URL())
	f.administrate(func(c *jetstream.ConsumerConfig) { c.MaxDeliver, c.AckWait = 2, patience })
	asked, mend := f.troubled()
	g := newGate()
	f.keeper(g, consumer.Config{MaxJobs: 1})
	for i := range jobs {
		f.queue(fmt.Sprintf("job-%d", i), llamaQueued)
	}
	require.Eventually(t, func() bool { return asked.Load() > 0 }, patience, time.Millisecond)

	request := listen(t, f.url, "reply.>")
	require.NoError(t, request.nc.PublishRequest("rbee.v1.hive.gpu-1.worker_spawn", "reply.1", []byte(llama)))
	g.next(t).through()
	resultFrom(t, request.next(t, "reply.1"))
	before := asked.Load()
	require.Eventually(t, func() bool { return asked.Load() > before+1 }, patience, time.Millisecond)
	require.Empty(t, g.arrived)
	require.Less(t, f.consumer().NumAckPending, jobs, "those that are not in hand already stay in the queue")

	mend()
	for range jobs {
		job := g.next(t)
		require.Empty(t, g.arrived, "there is one slot")
		job.through()
	}
	for i := range jobs {
		f.success(fmt.Sprintf("job-%d", i))
	}
	f.awaitEmpty()
}

// A job that waits for the stream of results has not begun: a hive that leaves puts it back.
func TestADrainDoesNotWaitForTheStreamOfResults(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	asked, mend := f.troubled()
	leaving := f.keeper(spawned, consumer.Config{})
	f.queue("job-1", llamaQueued)
	require.Eventually(t, func() bool { return asked.Load() > 1 }, patience, time.Millisecond)
	require.NoError(t, leaving.stop(t))
	mend()
	f.keeper(spawned, consumer.Config{})
	f.success("job-1")
	f.awaitEmpty()
}
