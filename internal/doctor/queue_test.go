package doctor

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
)

// The doctor calls a failure what keeps a hive that requires its queue from starting, and nothing else.
func TestQueue(t *testing.T) {
	t.Parallel()
	const info, next = `"$JS.API.CONSUMER.INFO.RBEE_JOBS.gpu-1"`, `"$JS.API.CONSUMER.MSG.NEXT.RBEE_JOBS.gpu-1"`
	const create = `"$JS.API.CONSUMER.CREATE.RBEE_JOBS.gpu-1.rbee.v1.job.gpu-1.*.*"`
	for name, test := range map[string]struct {
		without  string // what the hive may not do
		noStream bool
		consumer bool // there is one
		queue    Queue
		area     string
		name     string
		status   Status
		message  string
		advice   string
	}{
		"a stream":                   {area: "server", name: "queue", status: OK, message: "the hive makes its consumer when it starts"},
		"a consumer":                 {consumer: true, area: "server", name: "queue", status: OK, message: "stream RBEE_JOBS has a consumer for this hive"},
		"no stream":                  {noStream: true, area: "server", name: "queue", status: OK, message: "stream RBEE_JOBS is missing: the hive takes requests only"},
		"no stream and required":     {noStream: true, queue: QueueRequired, area: "server", name: "queue", status: Failure, message: "the hive does not start without its queue", advice: "rbee streams apply"},
		"off":                        {noStream: true, queue: QueueOff, area: "server", name: "queue", status: OK, message: "--queue is off"},
		"may not ask":                {without: info, area: "permissions", name: "queue", status: Warning, message: `may not publish on ` + info + `: the hive takes no queued jobs`, advice: "--queue off"},
		"may not ask and required":   {without: info, queue: QueueRequired, area: "permissions", name: "queue", status: Failure, message: info, advice: "grant it"},
		"may not pull":               {without: next, queue: QueueRequired, area: "permissions", name: "queue", status: Failure, message: next, advice: "grant it"},
		"may not acknowledge":        {without: `"$JS.ACK.RBEE_JOBS.gpu-1.>", "$JS.ACK.*.*.RBEE_JOBS.gpu-1.>"`, area: "permissions", name: "queue", status: Warning, message: `"$JS.ACK.RBEE_JOBS.gpu-1.>", "$JS.ACK.*.*.RBEE_JOBS.gpu-1.>": the hive`, advice: "grant it"},
		"may not make its consumer":  {without: create, queue: QueueRequired, area: "server", name: "queue", status: Failure, message: "has no consumer for this hive", advice: "administrator"},
		"need not make its consumer": {without: create, queue: QueueRequired, consumer: true, area: "permissions", name: "queue_consumer", status: Warning, message: "unless an administrator has made"},
		"may not ask for outcomes":   {without: `"$JS.API.DIRECT.GET.RBEE_RESULTS.rbee.v1.result.gpu-1.*"`, queue: QueueRequired, area: "permissions", name: "known_results", status: Warning, message: `"$JS.API.DIRECT.GET.RBEE_RESULTS.rbee.v1.result.gpu-1.*": the hive remembers`, advice: "grant it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := natsd.Start(natsd.Config{ConfigFile: write(t, "nats.conf", deployedWith(t, test.without, "")), StoreDir: t.TempDir()})
			require.NoError(t, err)
			t.Cleanup(server.Shutdown)
			js, jobs := spyOnQueue(t, server, !test.noStream, test.consumer)

			cfg := newConfig(t).asHive(server)
			cfg.Queue = test.queue
			report := Examine(t.Context(), cfg)
			requireSound(t, report)
			check := report.one(t, test.area, test.name)
			require.Equal(t, test.status, check.Status, "%v", check)
			require.Contains(t, check.Message, test.message)
			require.Contains(t, check.Advice, test.advice)
			failures := 0
			if test.status == Failure {
				failures = 1
			}
			require.Equal(t, failures, report.Failures, "%v", report.Checks)
			if jobs == nil {
				return
			}
			_, err = js.Consumer(t.Context(), "RBEE_JOBS", "gpu-1")
			if test.consumer {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, jetstream.ErrConsumerNotFound, "nothing was made")
			}
			state, err := jobs.Info(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 1, state.State.Msgs, "nothing was taken")
		})
	}
}

// A server without JetStream has no queue.
func TestQueueWithoutJetStream(t *testing.T) {
	t.Parallel()
	server := serveConfig(t, "")
	cfg := newConfig(t)
	cfg.NATS.Server = server.URL()
	check := Examine(t.Context(), cfg).one(t, "server", "queue")
	require.Equal(t, OK, check.Status)
	require.Contains(t, check.Message, "no JetStream for this account: the hive takes requests only")
	cfg.Queue = QueueRequired
	check = Examine(t.Context(), cfg).one(t, "server", "queue")
	require.Equal(t, Failure, check.Status)
	require.Contains(t, check.Advice, "turn on JetStream")
}

// spyOnQueue makes the stream of jobs with a job for gpu-1 in it, and its consumer, as somebody who may do anything.
func spyOnQueue(t *testing.T, server *natsd.Server, stream, consumer bool) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	js := natstest.JetStream(t, natstest.Dial(t, server.URL(), nats.UserInfo("spy", "spy")))
	if !stream {
		return js, nil
	}
	jobs, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "RBEE_JOBS", Subjects: []string{"rbee.v1.job.>"}, Retention: jetstream.WorkQueuePolicy})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "rbee.v1.job.gpu-1.worker_spawn.job-1", []byte("{}"))
	require.NoError(t, err)
	if consumer {
		_, err = jobs.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
			Durable: "gpu-1", FilterSubject: "rbee.v1.job.gpu-1.*.*", AckPolicy: jetstream.AckExplicitPolicy,
		})
		require.NoError(t, err)
	}
	return js, jobs
}
