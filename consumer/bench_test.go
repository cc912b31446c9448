package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// sixSteps is a spawner that tells what a spawn tells and starts nothing.
var sixSteps = spawnFunc(func(_ context.Context, job messages.Job, emit func(messages.Event), waiting func()) (messages.Result, error) {
	path := "/home/rbee/.cache/rbee/workers/cpu-llm-worker-rbee-v0.1.0-linux/cpu-llm-worker-rbee"
	emit(messages.Event{
		Action: messages.ActionSpawnStart,
		Human:  fmt.Sprintf("🚀 Spawning worker '%s' for model '%s' on device '%s' port %d", job.WorkerID, job.Model, job.Device, 9001),
		Fields: messages.Fields{Model: job.Model, Device: job.Device, Port: 9001},
	})
	emit(messages.Event{Action: messages.ActionTypeDetermined, Human: "Worker type: CpuLlm (device: cpu)", Fields: messages.Fields{WorkerType: "CpuLlm"}})
	emit(messages.Event{Action: messages.ActionBinaryCatalog, Human: "Found in the catalog", Fields: messages.Fields{Source: "catalog", Version: "0.1.0"}})
	emit(messages.Event{Action: messages.ActionBinaryFound, Human: "Worker binary: " + path, Fields: messages.Fields{BinaryPath: path}})
	emit(messages.Event{
		Action: messages.ActionSpawnCommand, Human: "Command: " + path + " --worker-id " + job.WorkerID,
		Fields: messages.Fields{BinaryPath: path, Args: []string{"--worker-id", job.WorkerID, "--model", job.Model}},
	})
	emit(messages.Event{Action: messages.ActionSpawned, Human: "✅ Worker spawned", Fields: messages.Fields{PID: 4242, Port: 9001}})
	waiting()
	return resultOf(job), nil
})

// BenchmarkJob measures what the hive and the server add to a spawn: a request, six steps, the last event, the result, the
// reply. Its floor is BenchmarkRoundTrip: a request and a reply.
func BenchmarkJob(b *testing.B) {
	srv := natstest.Server(b)
	serve(b, srv.URL(), sixSteps, consumer.Config{})
	client := dial(b, srv.URL())
	b.Run("sequential", func(b *testing.B) { requests(b, client, 1) })
	b.Run("8 at once", func(b *testing.B) { requests(b, client, 8) })
}

func BenchmarkRoundTrip(b *testing.B) {
	srv := natstest.Server(b)
	echo := dial(b, srv.URL())
	_, err := echo.Subscribe("rbee.v1.hive.gpu-1.*", func(m *nats.Msg) { _ = m.Respond(m.Data) })
	require.NoError(b, err)
	require.NoError(b, echo.Flush())
	client := dial(b, srv.URL())
	b.Run("sequential", func(b *testing.B) { requests(b, client, 1) })
	b.Run("8 at once", func(b *testing.B) { requests(b, client, 8) })
}

func requests(b *testing.B, client *nats.Conn, atOnce int) {
	b.ReportAllocs()
	var n atomic.Int64
	job := func() error {
		data := fmt.Appendf(nil, `{"operation":"worker_spawn","job_id":"job-%d","model":"meta-llama/Llama-3-8b","device":"cpu"}`, n.Add(1))
		_, err := client.Request("rbee.v1.hive.gpu-1.worker_spawn", data, 10*time.Second)
		return err
	}
	if atOnce == 1 {
		for b.Loop() {
			require.NoError(b, job())
		}
		return
	}
	b.SetParallelism(max(1, atOnce/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := job(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
