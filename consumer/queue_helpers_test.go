package consumer_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// fleet is a server with the streams of queued jobs, and a client that may do everything.
type fleet struct {
	tb  testing.TB
	url string
	nc  *nats.Conn
	js  jetstream.JetStream
}

// newFleet makes the streams on the server at url.
func newFleet(tb testing.TB, url string, opts ...nats.Option) *fleet {
	tb.Helper()
	f := noFleet(tb, url, opts...)
	f.makeStreams()
	return f
}

// noFleet is newFleet without the streams.
func noFleet(tb testing.TB, url string, opts ...nats.Option) *fleet {
	tb.Helper()
	nc := dial(tb, url, opts...)
	js := natstest.JetStream(tb, nc)
	return &fleet{tb: tb, url: url, nc: nc, js: js}
}

// jobsConfig is the stream of jobs: one message per job, and none is pushed out by another.
func jobsConfig() jetstream.StreamConfig {
	s := messages.Subjects{}.Streams()
	return jetstream.StreamConfig{
		Name: s.Jobs, Subjects: []string{s.JobSubjects()}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgsPerSubject: 1, MaxMsgs: 100_000, MaxAge: 24 * time.Hour,
		Duplicates: 2 * time.Minute, AllowMsgTTL: true,
	}
}

func (f *fleet) makeStreams() {
	f.tb.Helper()
	s := messages.Subjects{}.Streams()
	for _, cfg := range []jetstream.StreamConfig{
		jobsConfig(),
		{Name: s.Results, Subjects: []string{s.ResultSubjects()}, MaxMsgsPerSubject: 1, AllowDirect: true, MaxAge: 7 * 24 * time.Hour},
		{Name: s.Narration, Subjects: []string{s.NarrationSubjects()}, MaxAge: 72 * time.Hour, MaxBytes: 64 << 20},
		{Name: s.Dead, Subjects: s.DeadSubjects(), MaxAge: 7 * 24 * time.Hour},
	} {
		require.EventuallyWithT(f.tb, func(c *assert.CollectT) { // the files of a stream that was just deleted may be there for a moment
			_, err := f.js.CreateStream(f.tb.Context(), cfg)
			require.NoError(c, err, cfg.Name)
		}, patience, 5*time.Millisecond)
	}
}

// queue puts a job for gpu-1 into the queue.
func (f *fleet) queue(id, job string) {
	f.tb.Helper()
	f.queueOn("rbee.v1.job.gpu-1.worker_spawn."+id, job)
}

func (f *fleet) queueOn(subject, job string) {
	f.tb.Helper()
	_, err := f.js.Publish(f.tb.Context(), subject, []byte(job))
	require.NoError(f.tb, err)
}

// result waits for the outcome of a job of gpu-1 in the stream of results.
func (f *fleet) result(id string) *jetstream.RawStreamMsg {
	f.tb.Helper()
	results := f.stream("RBEE_RESULTS")
	var msg *jetstream.RawStreamMsg
	require.Eventually(f.tb, func() (found bool) {
		var err error
		ctx, cancel := context.WithTimeout(f.tb.Context(), time.Second)
		defer cancel()
		msg, err = results.GetLastMsgForSubject(ctx, "rbee.v1.result.gpu-1."+id)
		return err == nil
	}, patience, time.Millisecond)
	return msg
}

// success is result for a job that succeeded.
func (f *fleet) success(id string) messages.Result {
	f.tb.Helper()
	r, err := messages.DecodeResult(f.result(id).Data)
	require.NoError(f.tb, err)
	return r
}

// failure is result for a job that failed.
func (f *fleet) failure(id string) *messages.Error {
	f.tb.Helper()
	_, err := messages.DecodeResult(f.result(id).Data)
	var failure *messages.Error
	require.ErrorAs(f.tb, err, &failure)
	return failure
}

// stream asks again when it is not answered: a server that has just started answers some questions to nobody.
func (f *fleet) stream(name string) (s jetstream.Stream) {
	f.tb.Helper()
	require.Eventually(f.tb, func() bool {
		ctx, cancel := context.WithTimeout(f.tb.Context(), time.Second)
		defer cancel()
		var err error
		s, err = f.js.Stream(ctx, name)
		return err == nil
	}, patience, time.Millisecond)
	return s
}

// awaitEmpty returns when no job is in the queue.
func (f *fleet) awaitEmpty() {
	f.tb.Helper()
	jobs := f.stream("RBEE_JOBS")
	require.Eventually(f.tb, func() bool {
		ctx, cancel := context.WithTimeout(f.tb.Context(), time.Second)
		defer cancel()
		info, err := jobs.Info(ctx)
		return err == nil && info.State.Msgs == 0
	}, patience, time.Millisecond)
}

// consumer returns what the server says of the hive's consumer.
func (f *fleet) consumer() *jetstream.ConsumerInfo {
	f.tb.Helper()
	c, err := f.js.Consumer(f.tb.Context(), "RBEE_JOBS", "gpu-1")
	require.NoError(f.tb, err)
	return c.CachedInfo()
}

// awaitPending returns when the server has counted as many jobs that were never delivered; it counts a moment later than it stores.
func (f *fleet) awaitPending(jobs uint64) {
	f.tb.Helper()
	require.Eventually(f.tb, func() bool { return f.consumer().NumPending == jobs }, patience, time.Millisecond)
}

// administrate makes or changes the hive's consumer as an administrator does who wants to be asked again soon.
func (f *fleet) administrate(change func(*jetstream.ConsumerConfig)) {
	f.tb.Helper()
	cfg := jetstream.ConsumerConfig{
		Durable: "gpu-1", FilterSubject: "rbee.v1.job.gpu-1.*.*", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: 5,
	}
	change(&cfg)
	_, err := f.js.CreateOrUpdateConsumer(f.tb.Context(), "RBEE_JOBS", cfg)
	require.NoError(f.tb, err)
}

// story returns the events of a job of gpu-1 that the stream of narration has, up to its n-th end.
func (f *fleet) story(id string, ends int) (events []messages.Event) {
	f.tb.Helper()
	c, err := f.js.OrderedConsumer(f.tb.Context(), "RBEE_NARRATION", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"rbee.v1.narration.gpu-1." + id + ".>"},
	})
	require.NoError(f.tb, err)
	for ends > 0 {
		msg, err := c.Next(jetstream.FetchMaxWait(patience))
		require.NoError(f.tb, err)
		e, err := messages.DecodeEvent(msg.Data())
		require.NoError(f.tb, err)
		events = append(events, e)
		if e.Terminal || e.Action == messages.ActionRetry {
			ends--
		}
	}
	return events
}

// dead waits for the server's word that a job was given up, and returns its reason.
func (f *fleet) dead() string {
	f.tb.Helper()
	c, err := f.js.OrderedConsumer(f.tb.Context(), "RBEE_DEAD", jetstream.OrderedConsumerConfig{})
	require.NoError(f.tb, err)
	msg, err := c.Next(jetstream.FetchMaxWait(patience))
	require.NoError(f.tb, err)
	return string(msg.Data())
}

// keeper serves gpu-1 with its queue and returns once jobs are taken from there.
func (f *fleet) keeper(spawner consumer.Spawner, cfg consumer.Config) *running {
	f.tb.Helper()
	cfg.Queue = consumer.QueueRequired
	if cfg.QueueLook == 0 {
		cfg.QueueLook = 10 * time.Millisecond
	}
	return serve(f.tb, f.url, spawner, cfg)
}

// status asks gpu-1 how it is.
func (f *fleet) status() messages.HiveInfo {
	f.tb.Helper()
	msg, err := f.nc.Request("rbee.v1.hive.gpu-1.hive_status", []byte("{}"), patience)
	require.NoError(f.tb, err)
	info, err := messages.DecodeHive(msg.Data)
	require.NoError(f.tb, err)
	return info
}

// known is a spawner that knows of one worker.
type known struct {
	consumer.Spawner
	worker messages.Worker
}

func (k known) Get(_ context.Context, req messages.GetRequest) (messages.WorkerAnswer, error) {
	if req.WorkerID != k.worker.WorkerID {
		return messages.WorkerAnswer{}, messages.Errorf(messages.WorkerNotFound, "no worker %s", req.WorkerID)
	}
	return messages.WorkerAnswer{HiveID: "gpu-1", Worker: k.worker}, nil
}

// logged is a log that can be read.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(text))
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// restricted starts a server with JetStream and a configuration file.
func restricted(tb testing.TB, conf string) *natsd.Server {
	tb.Helper()
	store, file := tb.TempDir(), filepath.Join(tb.TempDir(), "nats-server.conf")
	require.NoError(tb, os.WriteFile(file, []byte(conf), 0o600))
	srv, err := natsd.Start(natsd.Config{ConfigFile: file, StoreDir: store})
	require.NoError(tb, err)
	tb.Cleanup(srv.Shutdown)
	return srv
}
