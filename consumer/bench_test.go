package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
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

// sixSteps is a spawner that tells what a spawn tells and starts nothing.
var sixSteps = spawnFunc(func(_ context.Context, job messages.Job, emit func(messages.Event), waiting consumer.Waiting) (messages.Result, error) {
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

// BenchmarkQueuedJob measures a queued job with a Spawner that starts nothing, from its publication to its result, beside a round trip
// over a work queue: published, acknowledged by the stream, pulled, answered, acknowledged. One of each in turn, so that both see
// the same machine; the ratio is of their medians.
func BenchmarkQueuedJob(b *testing.B) {
	f := newFleet(b, natstest.Server(b).URL())
	f.keeper(sixSteps, consumer.Config{})
	_, err := f.js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "FLOOR", Subjects: []string{"floor.>"}, Retention: jetstream.WorkQueuePolicy})
	require.NoError(b, err)
	echoQueue(b, f.url)
	results, err := f.nc.SubscribeSync("rbee.v1.result.gpu-1.*")
	require.NoError(b, err)
	echoes, err := f.nc.SubscribeSync("echo.*")
	require.NoError(b, err)

	var queued, floor []time.Duration
	n := 0
	roundTrip := func(subject string, answers *nats.Subscription) time.Duration {
		n++
		began := time.Now()
		_, err := f.js.Publish(b.Context(), fmt.Sprintf("%s.job-%d", subject, n), []byte(llamaQueued))
		require.NoError(b, err)
		_, err = answers.NextMsg(patience)
		require.NoError(b, err)
		return time.Since(began)
	}
	for b.Loop() {
		floor = append(floor, roundTrip("floor", echoes))
		queued = append(queued, roundTrip("rbee.v1.job.gpu-1.worker_spawn", results))
	}
	slices.Sort(queued)
	slices.Sort(floor)
	middle := len(queued) / 2
	b.ReportMetric(float64(queued[middle].Microseconds()), "queued-p50-µs")
	b.ReportMetric(float64(floor[middle].Microseconds()), "floor-p50-µs")
	b.ReportMetric(float64(queued[middle])/float64(floor[middle]), "ratio")
}

// echoQueue answers each message of the stream FLOOR, one after the other.
func echoQueue(b *testing.B, url string) {
	b.Helper()
	nc := dial(b, url)
	js, err := jetstream.New(nc)
	require.NoError(b, err)
	c, err := js.CreateConsumer(b.Context(), "FLOOR", jetstream.ConsumerConfig{Durable: "floor", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(b, err)
	msgs, err := c.Messages(jetstream.PullMaxMessages(1))
	require.NoError(b, err)
	b.Cleanup(msgs.Stop)
	go func() {
		for {
			msg, err := msgs.Next()
			if err != nil {
				return
			}
			_ = nc.Publish("echo.1", msg.Data())
			_ = msg.DoubleAck(context.Background())
		}
	}()
}

// BenchmarkRememberedJob is BenchmarkJob where the stream of results is asked, before each job that names itself, whether it
// ran before.
func BenchmarkRememberedJob(b *testing.B) {
	f := newFleet(b, natstest.Server(b).URL())
	f.keeper(sixSteps, consumer.Config{})
	b.Run("sequential", func(b *testing.B) { requests(b, f.nc, 1) })
	b.Run("8 at once", func(b *testing.B) { requests(b, f.nc, 8) })
}

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
	run := messages.NewJobID() // so that no job comes twice
	job := func() error {
		data := fmt.Appendf(nil, `{"operation":"worker_spawn","job_id":"%s-%d","model":"meta-llama/Llama-3-8b","device":"cpu"}`, run, n.Add(1))
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
