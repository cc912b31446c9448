package consumer_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// keeper plays a Spawner that has workers. What it is not told to play, it has none of.
type keeper struct {
	spawnFunc
	list func(ctx context.Context, req messages.ListRequest) (messages.WorkerPage, error)
	get  func(ctx context.Context, req messages.GetRequest) (messages.WorkerAnswer, error)
	del  func(ctx context.Context, job messages.DeleteJob, emit func(messages.Event)) (messages.Deleted, error)
	logs func(ctx context.Context, req messages.LogsRequest) (messages.Logs, error)
	cat  func(ctx context.Context, req messages.CatalogRequest) (messages.CatalogPage, error)
	plan func(ctx context.Context, job messages.Job) (messages.Plan, error)
}

func (k keeper) Catalog(ctx context.Context, req messages.CatalogRequest) (messages.CatalogPage, error) {
	if k.cat == nil {
		return noWorkers{}.Catalog(ctx, req)
	}
	return k.cat(ctx, req)
}

func (k keeper) Explain(ctx context.Context, job messages.Job) (messages.Plan, error) {
	if k.plan == nil {
		return noWorkers{}.Explain(ctx, job)
	}
	return k.plan(ctx, job)
}

func (k keeper) List(ctx context.Context, req messages.ListRequest) (messages.WorkerPage, error) {
	if k.list == nil {
		return noWorkers{}.List(ctx, req)
	}
	return k.list(ctx, req)
}

func (k keeper) Get(ctx context.Context, req messages.GetRequest) (messages.WorkerAnswer, error) {
	if k.get == nil {
		return noWorkers{}.Get(ctx, req)
	}
	return k.get(ctx, req)
}

func (k keeper) Delete(ctx context.Context, job messages.DeleteJob, emit func(messages.Event)) (messages.Deleted, error) {
	if k.del == nil {
		return noWorkers{}.Delete(ctx, job, emit)
	}
	return k.del(ctx, job, emit)
}

func (k keeper) Logs(ctx context.Context, req messages.LogsRequest) (messages.Logs, error) {
	if k.logs == nil {
		return noWorkers{}.Logs(ctx, req)
	}
	return k.logs(ctx, req)
}

// question asks gpu-1 as any program can, and returns the reply.
func question(tb testing.TB, nc *nats.Conn, op, body string) *nats.Msg {
	tb.Helper()
	msg, err := nc.Request("rbee.v1.hive.gpu-1."+op, []byte(body), patience)
	require.NoError(tb, err)
	require.Equal(tb, "gpu-1", msg.Header.Get("Rbee-Hive-Id"))
	return msg
}

// sendTo is wire.send for another operation.
func (w *wire) sendTo(tb testing.TB, op, body string) string {
	tb.Helper()
	reply := "reply." + nats.NewInbox()
	require.NoError(tb, w.nc.PublishRequest("rbee.v1.hive.gpu-1."+op, reply, []byte(body)))
	return reply
}

// workers returns workers w000, w001, … each with a failure of some kilobytes.
func workers(n, failure int) []messages.Worker {
	all := make([]messages.Worker, n)
	for i := range all {
		all[i] = messages.Worker{WorkerID: fmt.Sprintf("w%03d", i), PID: 1000 + i, State: messages.StateExited, Model: "m", Device: "cpu"}
		for line := range failure {
			if line == 0 {
				all[i].Failure = messages.Errorf(messages.WorkerExited, "exited with code 1")
			}
			all[i].Failure.LogTail = append(all[i].Failure.LogTail, fmt.Sprintf("%04d %01000d", line, 0))
		}
	}
	return all
}

// gated is a Spawner of which every call arrives at a gate.
type gated struct {
	arrived chan context.Context
	open    chan struct{}
}

func newGated() *gated {
	return &gated{arrived: make(chan context.Context, 4096), open: make(chan struct{})}
}

// pass returns once the gate is open or ctx has ended, with its cause then.
func (g *gated) pass(ctx context.Context) error {
	g.arrived <- ctx
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gated) list(ctx context.Context, _ messages.ListRequest) (messages.WorkerPage, error) {
	return messages.WorkerPage{HiveID: "gpu-1"}, g.pass(ctx)
}

func (g *gated) del(ctx context.Context, job messages.DeleteJob, emit func(messages.Event)) (messages.Deleted, error) {
	emit(messages.Event{Action: messages.ActionDeleteStart, Human: "Deleting worker"})
	if err := g.pass(ctx); err != nil {
		return messages.Deleted{}, err
	}
	return deletedBy(job), nil
}

func deletedBy(job messages.DeleteJob) messages.Deleted {
	return messages.Deleted{JobID: job.JobID, WorkerID: job.WorkerID, PID: 4242, Signal: "SIGTERM", TookMS: 3, Processes: 2}
}
