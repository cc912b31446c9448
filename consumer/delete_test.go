package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

const deleteW = `{"job_id":"d","worker_id":"w","pid":4242,"grace_ms":500}`

func TestDeleteIsNarratedAndAnswered(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	var got messages.DeleteJob
	r := serve(t, srv.URL(), keeper{del: func(_ context.Context, job messages.DeleteJob, emit func(messages.Event)) (messages.Deleted, error) {
		got = job
		emit(messages.Event{Action: messages.ActionDeleteStart, Human: "Deleting"})
		emit(messages.Event{Action: messages.ActionDeleteComplete, Human: "not the spawner's to tell"})
		emit(messages.Event{Action: messages.ActionDeleteSigterm, WorkerID: job.WorkerID, Terminal: true})
		code := 0
		deleted := deletedBy(job)
		deleted.ExitCode = &code
		return deleted, nil
	}}, consumer.Config{})
	w := tap(t, srv.URL())
	w.rest(t, r.nc)
	reply := w.sendTo(t, "worker_delete", deleteW)
	w.next(t, "rbee.v1.hive.")

	for i, action := range []messages.Action{messages.ActionDeleteStart, messages.ActionDeleteSigterm, messages.ActionDeleteComplete} {
		msg := receive(t, w.heard)
		require.Equal(t, "rbee.v1.narration.gpu-1.d."+string(action), msg.Subject)
		e := eventOf(t, msg)
		require.Equal(t, []any{i + 1, action, "w", "d", i == 2, 1}, []any{e.Seq, e.Action, e.WorkerID, e.JobID, e.Terminal, e.Attempt})
		if e.Terminal {
			require.Equal(t, "✅ Worker deleted: w (PID: 4242): SIGTERM ended 2 processes in 3 ms", e.Human)
			require.Equal(t, messages.Fields{PID: 4242, Signal: "SIGTERM", Processes: 2, ExitCode: new(int), TookMS: 3}, e.Fields)
		}
	}
	result, answer := receive(t, w.heard), receive(t, w.heard)
	require.Equal(t, "rbee.v1.result.gpu-1.d", result.Subject)
	require.Equal(t, reply, answer.Subject)
	require.Equal(t, result.Data, answer.Data)
	require.Equal(t, "d", answer.Header.Get("Rbee-Job-Id"))
	require.JSONEq(t, `{"job_id":"d","hive_id":"gpu-1","worker_id":"w","pid":4242,"signal":"SIGTERM","took_ms":3,"processes":2,"exit_code":0}`, string(answer.Data))
	require.Empty(t, w.rest(t, r.nc))
	require.Equal(t, messages.DeleteJob{Operation: messages.WorkerDelete, JobID: "d", HiveID: "gpu-1", WorkerID: "w", PID: 4242, GraceMS: 500}, got)
}

func TestDeletesThatFail(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body   string
		err    error
		code   messages.Code
		says   string
		story  string // what the last event begins with
		begun  bool
		panics bool
	}{
		"the spawner's own error": {deleteW, messages.Errorf(messages.WorkerConflict, "it is process 7"), messages.WorkerConflict, "process 7", "❌ Worker 'w' not deleted: ", true, false},
		"any error":               {deleteW, errors.New("no such disk"), messages.Internal, "no such disk", "❌ Worker 'w' not deleted: ", true, false},
		"no error at all":         {deleteW, (*messages.Error)(nil), messages.Internal, "panicked", "❌ Worker 'w' not deleted: ", true, false},
		"a panic":                 {deleteW, nil, messages.Internal, "panicked", "❌ Worker 'w' not deleted: ", true, true},
		"a deadline that passed": {
			`{"job_id":"d","worker_id":"w","deadline":"2001-01-01T00:00:00Z"}`, nil, messages.DeadlineExceeded, "2001", "❌ Worker 'w' not deleted: ", false, false,
		},
		"another hive":  {`{"job_id":"d","worker_id":"w","hive_id":"gpu-2"}`, nil, messages.WrongHive, "gpu-2", "❌ Worker 'w' not deleted: ", false, false},
		"no worker":     {`{"job_id":"d"}`, nil, messages.InvalidJob, "worker_id", "❌ Job 'd' refused: ", false, false},
		"pid 1":         {`{"job_id":"d","worker_id":"w","pid":1}`, nil, messages.InvalidJob, "pid", "❌ Worker 'w' not deleted: ", false, false},
		"unknown field": {`{"job_id":"d","worker_id":"w","signal":"SIGKILL"}`, nil, messages.InvalidJob, "signal", "❌ Job 'd' refused: ", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Server(t)
			r := serve(t, srv.URL(), keeper{del: func(_ context.Context, _ messages.DeleteJob, emit func(messages.Event)) (messages.Deleted, error) {
				emit(messages.Event{Action: messages.ActionDeleteStart})
				if tc.panics {
					panic("delete")
				}
				return messages.Deleted{}, tc.err
			}}, consumer.Config{})
			w := tap(t, srv.URL())
			w.rest(t, r.nc)
			reply := w.sendTo(t, "worker_delete", tc.body)
			w.next(t, "rbee.v1.hive.")
			seq := 1
			if tc.begun {
				require.Equal(t, messages.ActionDeleteStart, eventOf(t, receive(t, w.heard)).Action)
				seq++
			}
			e := eventOf(t, receive(t, w.heard))
			require.Equal(t, []any{messages.ActionDeleteFailed, true, seq}, []any{e.Action, e.Terminal, e.Seq})
			require.True(t, strings.HasPrefix(e.Human, tc.story), e.Human)
			require.Equal(t, tc.code, e.Fields.Error.Code)
			result, answer := receive(t, w.heard), receive(t, w.heard)
			require.Equal(t, "rbee.v1.result.gpu-1.d", result.Subject)
			require.Equal(t, reply, answer.Subject)
			require.Equal(t, result.Data, answer.Data)
			f := failureOf(t, answer)
			require.Equal(t, tc.code, f.Err.Code)
			require.Contains(t, f.Err.Message, tc.says)
			require.Equal(t, "d", f.JobID)
			require.Empty(t, w.rest(t, r.nc))

			stats := statsOf(t, dial(t, srv.URL()))
			require.Equal(t, [3]int64{0, b2i(tc.begun), b2i(!tc.begun)}, [3]int64{stats.Succeeded, stats.Failed, stats.Refused})
		})
	}
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

type jobStats struct{ Running, Waiting, Succeeded, Failed, Refused int64 }

// statsOf asks discovery for the hive's counts, as `nats micro stats` does.
func statsOf(tb testing.TB, nc *nats.Conn) jobStats {
	tb.Helper()
	msg, err := nc.Request("$SRV.STATS.rbee-hive", nil, patience)
	require.NoError(tb, err)
	var found struct {
		Endpoints []struct{ Data jobStats }
	}
	require.NoError(tb, json.Unmarshal(msg.Data, &found))
	require.Len(tb, found.Endpoints, 1)
	return found.Endpoints[0].Data
}

func TestDeletesWaitForNoJob(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	serve(t, srv.URL(), keeper{spawnFunc: g.Spawn, del: func(_ context.Context, job messages.DeleteJob, _ func(messages.Event)) (messages.Deleted, error) {
		return deletedBy(job), nil
	}}, consumer.Config{MaxJobs: 1, MaxWaiting: -1})
	w := tap(t, srv.URL())
	nc := dial(t, srv.URL())
	w.send(t, jobFor("working"))
	working := g.next(t)
	require.Equal(t, messages.HiveBusy, failureOf(t, ask(t, nc, "gpu-1", jobFor("late"))).Err.Code)
	for i := range 10 {
		deleted, err := messages.DecodeDeleted(question(t, nc, "worker_delete", fmt.Sprintf(`{"worker_id":"w%d"}`, i)).Data)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("w%d", i), deleted.WorkerID)
		require.NotEmpty(t, deleted.JobID)
	}
	require.Equal(t, messages.HiveBusy, failureOf(t, ask(t, nc, "gpu-1", jobFor("later"))).Err.Code, "a delete gives no slot away")
	require.Eventually(t, func() bool { return statsOf(t, nc) == jobStats{Running: 1, Succeeded: 10, Refused: 2} }, patience, time.Millisecond)
	working.through()
	require.Eventually(t, func() bool { return statsOf(t, nc) == jobStats{Succeeded: 11, Refused: 2} }, patience, time.Millisecond)
}

func TestDrainAwaitsDeletes(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGated()
	r := serve(t, srv.URL(), keeper{del: g.del}, consumer.Config{})
	w := tap(t, srv.URL())
	reply := w.sendTo(t, "worker_delete", deleteW)
	ctx := receive(t, g.arrived)
	r.cancel()
	require.Equal(t, 1, eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.@hive.hive_draining")).Fields.Jobs)
	refusedByDrain(t, question(t, w.nc, "worker_delete", `{"job_id":"new","worker_id":"w"}`))
	require.Equal(t, messages.ActionDeleteFailed, eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.new.")).Action)
	require.NoError(t, ctx.Err())
	require.Empty(t, r.done)
	close(g.open)
	_, err := messages.DecodeDeleted(w.next(t, reply).Data)
	require.NoError(t, err)
	require.NoError(t, r.wait(t))
	w.next(t, "rbee.v1.narration.gpu-1.@hive.hive_stopped")
}

func TestDrainInterruptsADelete(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGated()
	r := serve(t, srv.URL(), keeper{del: g.del}, consumer.Config{DrainTimeout: -1})
	w := tap(t, srv.URL())
	reply := w.sendTo(t, "worker_delete", deleteW)
	receive(t, g.arrived)
	require.NoError(t, r.stop(t))
	require.Equal(t, messages.ActionDeleteStart, eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.d.")).Action)
	e := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.d."))
	require.Equal(t, []any{messages.ActionDeleteFailed, 2, true}, []any{e.Action, e.Seq, e.Terminal})
	refusedByDrain(t, w.next(t, reply))
}
