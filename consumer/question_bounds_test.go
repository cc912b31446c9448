package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

func TestQuestionsWaitForNoJob(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	r := serve(t, srv.URL(), g, consumer.Config{MaxJobs: 1, MaxWaiting: 1})
	w := tap(t, srv.URL())
	nc := dial(t, srv.URL())
	w.send(t, jobFor("working"))
	working := g.next(t)
	w.send(t, jobFor("in-line"))
	accepted(t, w.nc)
	require.Equal(t, messages.HiveBusy, failureOf(t, ask(t, nc, "gpu-1", jobFor("late"))).Err.Code)

	var info messages.HiveInfo
	require.NoError(t, json.Unmarshal(question(t, nc, "hive_status", `{}`).Data, &info))
	require.Equal(t, []int{1, 1}, []int{info.JobsRunning, info.JobsWaiting})
	_, err := messages.DecodeWorkers(question(t, nc, "worker_list", `{}`).Data)
	require.NoError(t, err)

	r.cancel()
	w.next(t, "rbee.v1.narration.gpu-1.@hive.hive_draining")
	_, err = messages.DecodeHive(question(t, nc, "hive_status", `{}`).Data)
	require.NoError(t, err, "a hive that drains can be asked")
	working.through()
	require.NoError(t, r.wait(t))
}

func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGated()
	serve(t, srv.URL(), keeper{list: g.list, spawnFunc: spawned}, consumer.Config{MaxJobs: 1})
	w := tap(t, srv.URL())
	nc := dial(t, srv.URL())
	const most = 64
	for range most {
		w.sendTo(t, "worker_list", `{}`)
	}
	for range most {
		receive(t, g.arrived)
	}
	for _, op := range []string{"worker_list", "hive_status"} {
		msg := question(t, nc, op, `{}`)
		f := failureOf(t, msg)
		require.Equal(t, messages.HiveBusy, f.Err.Code)
		require.True(t, f.Err.Retryable)
		require.Equal(t, "503", msg.Header.Get("Nats-Service-Error-Code"))
	}
	resultFrom(t, ask(t, nc, "gpu-1", llama)) // jobs are none of their matter
	close(g.open)
	for range most {
		_, err := messages.DecodeWorkers(w.next(t, "reply.").Data)
		require.NoError(t, err)
	}
	_, err := messages.DecodeHive(question(t, nc, "hive_status", `{}`).Data)
	require.NoError(t, err)
}

func TestPanicInAQuestionEndsThatQuestionOnly(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	serve(t, srv.URL(), keeper{
		list: func(context.Context, messages.ListRequest) (messages.WorkerPage, error) { panic("list") },
		get: func(context.Context, messages.GetRequest) (messages.WorkerAnswer, error) {
			return messages.WorkerAnswer{}, (*messages.Error)(nil)
		},
		logs: func(context.Context, messages.LogsRequest) (messages.Logs, error) {
			return messages.Logs{}, fmt.Errorf("read: %w", messages.Errorf(messages.WorkerNotFound, "gone"))
		},
	}, consumer.Config{
		Machine: func(context.Context) consumer.Machine { panic("machine") },
		Logger:  slog.New(panicky{Handler: slog.DiscardHandler, on: "question refused"}),
	})
	nc := dial(t, srv.URL())
	for range 100 { // more often than there are questions at once
		for _, op := range []string{"worker_list", "hive_status", "worker_get", "worker_logs"} {
			body := `{}`
			if strings.HasSuffix(op, "get") || strings.HasSuffix(op, "logs") {
				body = `{"worker_id":"w"}`
			}
			require.Equal(t, messages.Internal, failureOf(t, question(t, nc, op, body)).Err.Code, op)
		}
	}
}

func TestDrainAwaitsQuestions(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGated()
	r := serve(t, srv.URL(), keeper{list: g.list}, consumer.Config{})
	w := tap(t, srv.URL())
	reply := w.sendTo(t, "worker_list", `{}`)
	ctx := receive(t, g.arrived)
	r.cancel()
	w.next(t, "rbee.v1.narration.gpu-1.@hive.hive_draining")
	require.NoError(t, ctx.Err())
	close(g.open)
	_, err := messages.DecodeWorkers(w.next(t, reply).Data)
	require.NoError(t, err)
	require.NoError(t, r.wait(t))
}

// A question whose answer does not come, as of a log on a disk that hangs, must not keep the hive for ever.
func TestDrainInterruptsAQuestion(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGated()
	r := serve(t, srv.URL(), keeper{list: g.list}, consumer.Config{})
	w := tap(t, srv.URL())
	reply := w.sendTo(t, "worker_list", `{}`)
	receive(t, g.arrived)
	require.NoError(t, r.stop(t))
	require.Equal(t, messages.HiveDraining, failureOf(t, w.next(t, reply)).Err.Code)
}
