package consumer_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serverStore); dir != "" {
		playServer(dir)
		return
	}
	leaktest.Main(m)
}

// patience bounds every wait of a test for something that must happen.
const patience = time.Minute

// spawnFunc plays the Spawner.
type spawnFunc func(ctx context.Context, job messages.Job, emit func(messages.Event), waiting consumer.Waiting) (messages.Result, error)

func (f spawnFunc) Spawn(ctx context.Context, job messages.Job, emit func(messages.Event), waiting consumer.Waiting) (messages.Result, error) {
	return f(ctx, job, emit, waiting)
}

func (f spawnFunc) List(ctx context.Context, req messages.ListRequest) (messages.WorkerPage, error) {
	return noWorkers{}.List(ctx, req)
}

func (f spawnFunc) Get(ctx context.Context, req messages.GetRequest) (messages.WorkerAnswer, error) {
	return noWorkers{}.Get(ctx, req)
}

func (f spawnFunc) Delete(ctx context.Context, job messages.DeleteJob, emit func(messages.Event)) (messages.Deleted, error) {
	return noWorkers{}.Delete(ctx, job, emit)
}

func (f spawnFunc) Logs(ctx context.Context, req messages.LogsRequest) (messages.Logs, error) {
	return noWorkers{}.Logs(ctx, req)
}

// noWorkers plays the part of a Spawner that is about workers it has; it has none.
type noWorkers struct{}

func (noWorkers) List(context.Context, messages.ListRequest) (messages.WorkerPage, error) {
	return messages.WorkerPage{HiveID: "gpu-1"}, nil
}

func (noWorkers) Get(_ context.Context, req messages.GetRequest) (messages.WorkerAnswer, error) {
	return messages.WorkerAnswer{}, messages.Errorf(messages.WorkerNotFound, "no worker %s", req.WorkerID)
}

func (noWorkers) Delete(_ context.Context, job messages.DeleteJob, _ func(messages.Event)) (messages.Deleted, error) {
	return messages.Deleted{}, messages.Errorf(messages.WorkerNotFound, "no worker %s", job.WorkerID)
}

func (noWorkers) Logs(_ context.Context, req messages.LogsRequest) (messages.Logs, error) {
	return messages.Logs{}, messages.Errorf(messages.WorkerNotFound, "no worker %s", req.WorkerID)
}

func (f spawnFunc) Catalog(ctx context.Context, req messages.CatalogRequest) (messages.CatalogPage, error) {
	return noWorkers{}.Catalog(ctx, req)
}

func (f spawnFunc) Explain(ctx context.Context, job messages.Job) (messages.Plan, error) {
	return noWorkers{}.Explain(ctx, job)
}

func (noWorkers) Catalog(context.Context, messages.CatalogRequest) (messages.CatalogPage, error) {
	return messages.CatalogPage{HiveID: "gpu-1"}, nil
}

func (noWorkers) Explain(_ context.Context, job messages.Job) (messages.Plan, error) {
	return messages.Plan{}, messages.Errorf(messages.WorkerNotInstalled, "nothing serves %s", job.Device)
}

// spawned is a spawner whose every worker runs at once.
var spawned = spawnFunc(func(_ context.Context, job messages.Job, _ func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
	return resultOf(job), nil
})

func resultOf(job messages.Job) messages.Result {
	return messages.Result{
		PID: 4242, Port: 9001, BinaryPath: "/opt/cpu-llm-worker-rbee", WorkerType: "CpuLlm", Worker: "cpu-llm-worker-rbee",
		Version: "0.1.0", Source: "catalog", Device: job.Device, Model: job.Model,
		StartedAt: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), LogPath: "/var/log/rbee/w.log",
	}
}

// gate is a spawner whose jobs stand at a gate until the test lets them through.
type gate struct {
	noWorkers
	arrived chan *caller
}

// caller is one call of Spawn.
type caller struct {
	ctx     context.Context
	job     messages.Job
	emit    func(messages.Event)
	waiting consumer.Waiting
	answer  chan error
}

func newGate() *gate { return &gate{arrived: make(chan *caller, 4096)} }

func (g *gate) Spawn(ctx context.Context, job messages.Job, emit func(messages.Event), waiting consumer.Waiting) (messages.Result, error) {
	c := &caller{ctx: ctx, job: job, emit: emit, waiting: waiting, answer: make(chan error, 1)}
	g.arrived <- c
	select {
	case err := <-c.answer:
		return resultOf(job), err
	case <-ctx.Done():
		return messages.Result{}, ctx.Err()
	}
}

// next returns the next job that came to the spawner.
func (g *gate) next(tb testing.TB) *caller {
	tb.Helper()
	return receive(tb, g.arrived)
}

// through lets c's worker run.
func (c *caller) through() { c.answer <- nil }

// running is a hive at work.
type running struct {
	nc     *nats.Conn
	cancel context.CancelFunc
	done   chan error
}

// serve runs a hive on a connection of its own and returns when it is ready.
func serve(tb testing.TB, url string, spawner consumer.Spawner, cfg consumer.Config, opts ...nats.Option) *running {
	tb.Helper()
	ready := make(chan struct{})
	cfg.Ready = func() { close(ready) }
	if cfg.HiveID == "" {
		cfg.HiveID = "gpu-1"
	}
	r := run(tb, dial(tb, url, opts...), spawner, cfg)
	select {
	case <-ready:
		require.NoError(tb, r.nc.Flush()) // who listens from now on does not hear hive_started
	case err := <-r.done:
		require.FailNow(tb, "the hive ended before it was ready", err)
	case <-time.After(patience):
		require.FailNow(tb, "the hive was never ready")
	}
	return r
}

// run runs a hive on nc, however ready it gets, and ends it with the test.
func run(tb testing.TB, nc *nats.Conn, spawner consumer.Spawner, cfg consumer.Config) *running {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{nc: nc, cancel: cancel, done: make(chan error, 1)}
	go func() {
		r.done <- consumer.Run(ctx, nc, spawner, cfg)
		close(r.done)
	}()
	tb.Cleanup(func() {
		cancel()
		for range r.done { // closed when Run has ended
		}
	})
	return r
}

// wait returns what Run returned.
func (r *running) wait(tb testing.TB) error {
	tb.Helper()
	return receive(tb, r.done)
}

// stop ends the hive and returns what Run returned.
func (r *running) stop(tb testing.TB) error {
	tb.Helper()
	r.cancel()
	return r.wait(tb)
}

// configured starts a server with a configuration file.
func configured(tb testing.TB, conf string) *natsd.Server {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "nats-server.conf")
	require.NoError(tb, os.WriteFile(file, []byte(conf), 0o600))
	srv, err := natsd.Start(natsd.Config{ConfigFile: file})
	require.NoError(tb, err)
	tb.Cleanup(srv.Shutdown)
	return srv
}

// dial connects to the server at url, however busy this machine is.
func dial(tb testing.TB, url string, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	return natstest.Dial(tb, url, append([]nats.Option{nats.Timeout(patience)}, opts...)...)
}

// wire is a connection that hears everything that the server passes on, in the server's order, and speaks for a caller.
type wire struct {
	nc    *nats.Conn
	heard chan *nats.Msg
}

func tap(tb testing.TB, url string) *wire {
	tb.Helper()
	return listen(tb, url, ">")
}

// listen is tap for the subjects of a filter. Who hears everything is a responder to every request.
func listen(tb testing.TB, url, filter string) *wire {
	tb.Helper()
	w := &wire{nc: dial(tb, url), heard: make(chan *nats.Msg, 1<<16)}
	_, err := w.nc.ChanSubscribe(filter, w.heard)
	require.NoError(tb, err)
	require.NoError(tb, w.nc.Flush())
	return w
}

// next returns the next message whose subject begins with prefix, passing over all others.
func (w *wire) next(tb testing.TB, prefix string) *nats.Msg {
	tb.Helper()
	for {
		if msg := receive(tb, w.heard); strings.HasPrefix(msg.Subject, prefix) {
			return msg
		}
	}
}

// send publishes job as a request for gpu-1 and returns the subject of its reply.
func (w *wire) send(tb testing.TB, job string) string {
	tb.Helper()
	reply := "reply." + nats.NewInbox()
	require.NoError(tb, w.nc.PublishRequest("rbee.v1.hive.gpu-1.worker_spawn", reply, []byte(job)))
	return reply
}

// rest returns what the server passed on until now and nobody read, the messages that hive sent before included.
func (w *wire) rest(tb testing.TB, hive *nats.Conn) []*nats.Msg {
	tb.Helper()
	require.NoError(tb, hive.Flush())
	require.NoError(tb, w.nc.Flush())
	msgs := make([]*nats.Msg, 0, len(w.heard))
	for len(w.heard) > 0 {
		msgs = append(msgs, <-w.heard)
	}
	return msgs
}

// ask sends job to hive and returns the reply.
func ask(tb testing.TB, nc *nats.Conn, hive, job string) *nats.Msg {
	tb.Helper()
	msg, err := nc.Request("rbee.v1.hive."+hive+".worker_spawn", []byte(job), patience)
	require.NoError(tb, err)
	return msg
}

// accepted returns when gpu-1 has accepted every request that nc sent before.
func accepted(tb testing.TB, nc *nats.Conn) {
	tb.Helper()
	_, err := nc.Request("rbee.v1.hive.gpu-1.are_you_there", nil, patience)
	require.NoError(tb, err)
}

// failureOf reads a failure from the wire without the decoder under test's own help.
func failureOf(tb testing.TB, msg *nats.Msg) messages.Failure {
	tb.Helper()
	var f messages.Failure
	require.NoError(tb, json.Unmarshal(msg.Data, &f), string(msg.Data))
	require.NotNil(tb, f.Err, string(msg.Data))
	return f
}

func resultFrom(tb testing.TB, msg *nats.Msg) messages.Result {
	tb.Helper()
	r, err := messages.DecodeResult(msg.Data)
	require.NoError(tb, err)
	return r
}

func eventOf(tb testing.TB, msg *nats.Msg) messages.Event {
	tb.Helper()
	e, err := messages.DecodeEvent(msg.Data)
	require.NoError(tb, err)
	return e
}

func receive[T any](tb testing.TB, from <-chan T) T {
	tb.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		require.FailNow(tb, "nothing came")
		panic("unreachable")
	}
}
