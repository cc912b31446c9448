package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

func jobFor(id string) string {
	return fmt.Sprintf(`{"job_id":%q,"model":"m","device":"cpu"}`, id)
}

func TestLineIsServedInTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	serve(t, srv.URL(), g, consumer.Config{MaxJobs: 1})
	w := tap(t, srv.URL())

	for i := range 100 {
		w.send(t, jobFor(fmt.Sprintf("job-%d", i)))
	}
	for i := range 100 {
		c := g.next(t)
		require.Equal(t, fmt.Sprintf("job-%d", i), c.job.JobID)
		require.Empty(t, g.arrived)
		c.through()
	}
}

func TestFullLineIsBusyAtOnce(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ maxWaiting, places int }{
		"a line of two":  {2, 2},
		"no line at all": {-1, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Server(t)
			g := newGate()
			serve(t, srv.URL(), g, consumer.Config{MaxJobs: 1, MaxWaiting: tc.maxWaiting})
			w := tap(t, srv.URL())
			w.send(t, jobFor("first"))
			first := g.next(t)
			for i := range tc.places {
				w.send(t, jobFor(fmt.Sprintf("next-%d", i)))
			}

			msg := ask(t, w.nc, "gpu-1", jobFor("late"))
			f := failureOf(t, msg)
			require.Equal(t, messages.HiveBusy, f.Err.Code)
			require.True(t, f.Err.Retryable)
			require.Equal(t, "503", msg.Header.Get("Nats-Service-Error-Code"))
			e := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.late."))
			require.Equal(t, 1, e.Seq)
			require.True(t, e.Terminal)
			w.next(t, "rbee.v1.result.gpu-1.late")

			// Nothing of that kept the others from their turn.
			first.through()
			for i := range tc.places {
				c := g.next(t)
				require.Equal(t, fmt.Sprintf("next-%d", i), c.job.JobID)
				c.through()
			}
			for range 1 + tc.places {
				resultFrom(t, w.next(t, "reply."))
			}
		})
	}
}

func TestDeadlinePassesInLine(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	serve(t, srv.URL(), g, consumer.Config{MaxJobs: 1})
	w := tap(t, srv.URL())
	w.send(t, jobFor("first"))
	first := g.next(t)
	soon := time.Now().Add(50 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	late := w.send(t, fmt.Sprintf(`{"job_id":"late","model":"m","device":"cpu","deadline":%q}`, soon))
	w.send(t, `{"job_id":"third","model":"m","device":"cpu","deadline":"9999-01-01T00:00:00Z"}`)

	f := failureOf(t, w.next(t, late))
	require.Equal(t, messages.DeadlineExceeded, f.Err.Code)
	require.False(t, f.Err.Retryable)
	require.Contains(t, f.Err.Message, soon)

	first.through()
	third := g.next(t)
	require.Equal(t, "third", third.job.JobID)
	third.through()
	resultFrom(t, w.next(t, "reply."))
	resultFrom(t, w.next(t, "reply."))
}

func TestJobThatOnlyWaitsHoldsNoSlot(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	serve(t, srv.URL(), g, consumer.Config{MaxJobs: 1})
	w := tap(t, srv.URL())
	for _, id := range []string{"a", "b", "c"} {
		w.send(t, jobFor(id))
	}

	a := g.next(t)
	a.waiting()
	a.waiting() // a second call gives nothing more away
	b := g.next(t)
	require.Equal(t, "b", b.job.JobID)
	a.through()
	require.Equal(t, "a", resultFrom(t, w.next(t, "reply.")).JobID)
	accepted(t, w.nc)
	require.Empty(t, g.arrived, "a gave its slot back twice")
	b.through()
	c := g.next(t)
	require.Equal(t, "c", c.job.JobID)
	c.through()
}

func TestThousandRequestsAtOnceStayWithinBounds(t *testing.T) {
	t.Parallel()
	const jobs, most = 1000, 8
	srv := natstest.Server(t)
	var atWork, peak atomic.Int64
	serve(t, srv.URL(), spawnFunc(func(_ context.Context, job messages.Job, emit func(messages.Event), waiting consumer.Waiting) (messages.Result, error) {
		n := atWork.Add(1)
		for top := peak.Load(); n > top && !peak.CompareAndSwap(top, n); top = peak.Load() {
		}
		emit(messages.Event{Action: messages.ActionSpawnStart})
		runtime.Gosched()
		atWork.Add(-1)
		waiting()
		return resultOf(job), nil
	}), consumer.Config{MaxJobs: most, MaxWaiting: jobs})
	w := tap(t, srv.URL())

	for i := range jobs {
		w.send(t, jobFor(fmt.Sprintf("job-%d", i)))
	}
	answers, stories := map[string]int{}, 0
	for len(answers) < jobs {
		msg := receive(t, w.heard)
		switch {
		case strings.HasPrefix(msg.Subject, "reply."):
			answers[resultFrom(t, msg).JobID]++
		case strings.HasSuffix(msg.Subject, ".worker_spawn_complete"):
			require.Equal(t, 2, eventOf(t, msg).Seq)
			stories++
		}
	}
	require.Equal(t, jobs, stories)
	for id, n := range answers {
		require.Equal(t, 1, n, id)
	}
	require.LessOrEqual(t, peak.Load(), int64(most))
	require.Greater(t, peak.Load(), int64(1))
}
