package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// plan is what a spawner tells of one job: each list from a goroutine of its own, late only when the job has ended.
type plan struct {
	noWorkers
	tellers [][]messages.Event
	late    []messages.Event
	err     error
}

func plans() *rapid.Generator[plan] {
	event := rapid.Custom(func(t *rapid.T) messages.Event {
		return messages.Event{
			Action: rapid.SampledFrom([]messages.Action{
				messages.ActionSpawnStart, messages.ActionBinarySkipped, messages.ActionSpawned, messages.ActionReady,
				messages.ActionSpawnComplete, messages.ActionSpawnFailed, // not the spawner's to tell
				"", "not a token", // not to be told at all
			}).Draw(t, "action"),
			Attempt:  rapid.IntRange(0, 3).Draw(t, "attempt"),
			Seq:      rapid.IntRange(0, 9).Draw(t, "seq"),
			Terminal: rapid.Bool().Draw(t, "terminal"),
			JobID:    rapid.SampledFrom([]string{"", "another"}).Draw(t, "job"),
		}
	})
	events := rapid.SliceOfN(event, 0, 12)
	return rapid.Custom(func(t *rapid.T) plan {
		p := plan{tellers: rapid.SliceOfN(events, 0, 4).Draw(t, "tellers"), late: events.Draw(t, "late")}
		if rapid.Bool().Draw(t, "fails") {
			p.err = messages.Errorf(messages.NotReady, "not today")
		}
		return p
	})
}

// told returns how many events of the plan an observer must hear of before the last one.
func (p plan) told() int {
	n := 0
	for _, events := range p.tellers {
		for _, e := range events {
			if strings.HasPrefix(string(e.Action), "worker_") && e.Action != messages.ActionSpawnComplete && e.Action != messages.ActionSpawnFailed {
				n++
			}
		}
	}
	return n
}

func (p plan) Spawn(_ context.Context, job messages.Job, emit func(messages.Event), waiting consumer.Waiting) (messages.Result, error) {
	var tellers sync.WaitGroup
	for who, events := range p.tellers {
		tellers.Go(func() {
			for i, e := range events {
				e.Fields = messages.Fields{Port: who + 1, PID: i + 1}
				emit(e)
			}
		})
	}
	tellers.Wait()
	waiting()
	return resultOf(job), p.err
}

func TestNarrationKeepsItsPromises(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	var mu sync.Mutex
	var current plan
	var emitLate func()
	r := serve(t, srv.URL(), spawnFunc(func(ctx context.Context, job messages.Job, emit func(messages.Event), waiting consumer.Waiting) (messages.Result, error) {
		mu.Lock()
		p := current
		emitLate = func() {
			for _, e := range p.late {
				emit(e)
			}
		}
		mu.Unlock()
		return p.Spawn(ctx, job, emit, waiting)
	}), consumer.Config{})
	w := tap(t, srv.URL())
	w.rest(t, r.nc)

	jobs := 0
	rapid.Check(t, func(rt *rapid.T) {
		mu.Lock()
		current = plans().Draw(rt, "plan")
		mu.Unlock()
		jobs++
		id := fmt.Sprintf("job-%d", jobs)
		reply := w.send(t, jobFor(id))
		w.next(t, "rbee.v1.hive.")

		attempt, last := 1, map[int]int{}
		for seq := 1; seq <= current.told()+1; seq++ {
			msg := receive(t, w.heard)
			e := eventOf(t, msg)
			require.Equal(rt, fmt.Sprintf("rbee.v1.narration.gpu-1.%s.%s", id, e.Action), msg.Subject)
			require.Equal(rt, []any{"gpu-1", id, messages.Actor, messages.EventType}, []any{e.HiveID, e.JobID, e.Actor, e.Type})
			require.Equal(rt, messages.WorkerID("gpu-1", id), e.WorkerID)
			require.Equal(rt, seq, e.Seq)
			require.Equal(rt, seq == current.told()+1, e.Terminal)
			require.GreaterOrEqual(rt, e.Attempt, attempt, "an attempt goes up only")
			attempt = e.Attempt
			if e.Terminal {
				require.Equal(rt, current.err != nil, e.Action == messages.ActionSpawnFailed)
				continue
			}
			require.Greater(rt, e.Fields.PID, last[e.Fields.Port], "a goroutine's own events keep their order")
			last[e.Fields.Port] = e.Fields.PID
		}
		require.Equal(rt, "rbee.v1.result.gpu-1."+id, receive(t, w.heard).Subject)
		require.Equal(rt, reply, receive(t, w.heard).Subject)

		emitLate()
		require.Empty(rt, w.rest(t, r.nc), "something follows the answer")
	})
}

func TestNarratorTellsWhatBelongsToNoJob(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	w := tap(t, srv.URL())
	nc := dial(t, srv.URL())
	n := consumer.NewNarrator(nc, messages.Subjects{}, "gpu-1", nil)

	var tellers sync.WaitGroup
	for range 4 {
		tellers.Go(func() {
			n.Narrate(messages.Event{
				Action: messages.ActionExited, WorkerID: "w1", Human: "Worker 'w1' exited", Level: messages.LevelWarn,
				JobID: "job-1", Seq: 7, Attempt: 2, Terminal: true, // what only a job's own events carry
			})
		})
	}
	tellers.Wait()
	for range 4 {
		msg := w.next(t, "rbee.v1.narration.gpu-1.")
		require.Equal(t, "rbee.v1.narration.gpu-1.@worker.worker_exited", msg.Subject)
		e := eventOf(t, msg)
		require.NotEmpty(t, e.ID)
		require.WithinDuration(t, time.Now(), e.Time, patience)
		e.ID, e.Time = "", time.Time{}
		require.Equal(t, messages.Event{
			Type: messages.EventType, Level: messages.LevelWarn, Actor: messages.Actor, Action: messages.ActionExited, Target: "w1",
			HiveID: "gpu-1", WorkerID: "w1", Human: "Worker 'w1' exited",
		}, e)
	}

	n.Narrate(messages.Event{Action: "no token"})
	n.Narrate(messages.Event{Action: messages.ActionExited})
	require.Equal(t, "rbee.v1.narration.gpu-1.@hive.worker_exited", receive(t, w.heard).Subject)
}
