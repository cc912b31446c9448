package consumer_test

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/messages"
)

// forEver makes a connection that reconnects for ever and fast.
var forEver = []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(time.Millisecond, time.Millisecond)}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	nc := natstest.Connect(t)
	for _, id := range []string{"", "gpu.1", "gpu 1", "*", strings.Repeat("x", 65)} {
		require.ErrorContains(t, consumer.Run(t.Context(), nc, spawned, consumer.Config{HiveID: id}), "hive id: ")
	}
	require.Zero(t, nc.NumSubscriptions())
}

func TestHiveIsFoundWithItsWork(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	serve(t, srv.URL(), g, consumer.Config{Version: "v0.1.0-3-g90da700", MaxJobs: 1, MaxWaiting: 1, RunDir: "0123456789abcdef"})
	client := dial(t, srv.URL())

	var ping micro.Ping
	service(t, client, "PING", &ping)
	require.Equal(t, "rbee-hive", ping.Name)
	require.Equal(t, "0.1.0-3-g90da700", ping.Version)
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"hive_id": "gpu-1", "platform": runtime.GOOS + "/" + runtime.GOARCH, "version": "v0.1.0-3-g90da700", "prefix": "rbee.v1", "host": host,
		"devices": "cpu", "run_dir": "0123456789abcdef",
	}, ping.Metadata)
	var info micro.Info
	service(t, client, "INFO", &info)
	require.Len(t, info.Endpoints, 1)
	require.Equal(t, "rbee.v1.hive.gpu-1.*", info.Endpoints[0].Subject)
	require.Equal(t, "gpu-1", info.Endpoints[0].QueueGroup)

	w := tap(t, srv.URL())
	w.send(t, jobFor("a"))
	a := g.next(t)
	w.send(t, jobFor("b"))
	failureOf(t, ask(t, w.nc, "gpu-1", jobFor("c")))
	require.JSONEq(t, `{"running":1,"waiting":1,"succeeded":0,"failed":0,"refused":1}`, statistics(t, client))
	a.through()
	g.next(t).answer <- messages.Errorf(messages.NotReady, "not today")
	w.next(t, "reply.")
	w.next(t, "reply.")
	accepted(t, w.nc)
	require.Regexp(t, `"succeeded":1,"failed":1,"refused":\d`, statistics(t, client))
}

func statistics(t *testing.T, nc *nats.Conn) string {
	t.Helper()
	var stats micro.Stats
	service(t, nc, "STATS", &stats)
	require.Len(t, stats.Endpoints, 1)
	return string(stats.Endpoints[0].Data)
}

func service(t *testing.T, nc *nats.Conn, verb string, v any) {
	t.Helper()
	msg, err := nc.Request("$SRV."+verb+".rbee-hive", nil, patience)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(msg.Data, v))
}

func TestAnyVersionMakesAService(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"": "0.0.0-dev", "dev": "0.0.0-dev", "90da700": "0.0.0-dev", "1.2": "0.0.0-dev", "v1.2.3": "1.2.3", "1.2.3-rc.1+x": "1.2.3-rc.1+x", "01.2.3": "0.0.0-dev"} {
		t.Run("version "+version, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Server(t)
			w := tap(t, srv.URL())
			serve(t, srv.URL(), spawned, consumer.Config{Version: version})
			var ping micro.Ping
			service(t, dial(t, srv.URL()), "PING", &ping)
			require.Equal(t, want, ping.Version)

			if version == "" {
				version = "dev"
			}
			require.Equal(t, version, ping.Metadata["version"])
			e := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.@hive.hive_started"))
			platform := runtime.GOOS + "/" + runtime.GOARCH
			require.Equal(t, "Hive 'gpu-1' takes jobs ("+version+", "+platform+")", e.Human)
			require.Equal(t, messages.Fields{Version: version, Platform: platform}, e.Fields)
		})
	}
}

// says is a log that reports each of its messages.
func says(lines chan string) *slog.Logger {
	return slog.New(slog.NewTextHandler(lineWriter(lines), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type lineWriter chan string

func (w lineWriter) Write(line []byte) (int, error) {
	w <- string(line)
	return len(line), nil
}

func TestHiveWaitsForNATSAtTheStart(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	first := restartable(t, store)
	first.Shutdown()

	lines, ready := make(chan string, 100), make(chan struct{})
	nc := dial(t, first.URL(), append(forEver, nats.RetryOnFailedConnect(true))...)
	r := run(t, nc, spawned, consumer.Config{HiveID: "gpu-1", Logger: says(lines), Ready: func() { close(ready) }})
	require.Contains(t, receive(t, lines), "waiting for nats")
	select {
	case <-ready:
		require.FailNow(t, "ready without a server")
	default:
	}

	restart(t, first, store)
	receive(t, ready)
	resultFrom(t, ask(t, dial(t, first.URL()), "gpu-1", llama))
	require.NoError(t, r.stop(t))
}

func TestHiveThatWaitsForNATSEnds(t *testing.T) {
	t.Parallel()
	first := restartable(t, "")
	first.Shutdown()
	cases := map[string]struct {
		end  func(*running)
		says string
	}{
		"when it is stopped":            {func(r *running) { r.cancel() }, ""},
		"when the connection is closed": {func(r *running) { r.nc.Close() }, "closed for good"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := make(chan string, 100)
			nc := dial(t, first.URL(), append(forEver, nats.RetryOnFailedConnect(true))...)
			r := run(t, nc, spawned, consumer.Config{HiveID: "gpu-1", Logger: says(lines)})
			require.Contains(t, receive(t, lines), "waiting for nats")
			tc.end(r)
			err := r.wait(t)
			if tc.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.says)
		})
	}
}

// restartable starts a server on a port that nobody takes while it is away.
func restartable(t *testing.T, store string) *natsd.Server {
	t.Helper()
	return natstest.Start(t, natsd.Config{Port: porttest.One(t), StoreDir: store})
}

// restart starts a server where srv was.
func restart(t *testing.T, srv *natsd.Server, store string) *natsd.Server {
	t.Helper()
	u, err := url.Parse(srv.URL())
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return natstest.Start(t, natsd.Config{Port: port, StoreDir: store})
}

func TestHiveSurvivesAServerRestart(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	srv := restartable(t, store)
	g := newGate()
	back := make(chan struct{}, 10)
	r := serve(t, srv.URL(), g, consumer.Config{}, append(forEver, nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))...)
	w := tap(t, srv.URL())
	w.send(t, llama)
	before := g.next(t)
	before.emit(messages.Event{Action: messages.ActionSpawnStart})
	w.next(t, "rbee.v1.narration.gpu-1.job-1.worker_spawn_start")

	srv.Shutdown()
	before.emit(messages.Event{Action: messages.ActionSpawned}) // while there is no server
	srv = restart(t, srv, store)
	w = tap(t, srv.URL())
	receive(t, back)
	before.through()

	// What was in flight goes on, and its story has no gap for those who were there.
	e := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.job-1.worker_spawn_complete"))
	require.Equal(t, 3, e.Seq)
	w.next(t, "rbee.v1.result.gpu-1.job-1")
	reply := w.send(t, jobFor("job-2"))
	g.next(t).through()
	resultFrom(t, w.next(t, reply))
	require.NoError(t, r.stop(t))
}

func TestClosedConnectionEndsTheHive(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	lines := make(chan string, 1000)
	r := serve(t, srv.URL(), g, consumer.Config{MaxJobs: 1, Logger: says(lines)})
	w := tap(t, srv.URL())
	w.send(t, llama)
	inFlight := g.next(t)
	w.send(t, jobFor("in-line"))
	accepted(t, w.nc)

	r.nc.Close()
	for !strings.Contains(receive(t, lines), "hive drains") {
	}
	inFlight.emit(messages.Event{Action: messages.ActionSpawned})
	require.Empty(t, r.done, "a job is in flight")
	require.NoError(t, inFlight.ctx.Err())
	inFlight.through()
	err := r.wait(t)
	require.ErrorContains(t, err, "closed for good")
	require.Empty(t, g.arrived)
}

func TestServerThatThrowsTheHiveOutEndsIt(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	r := serve(t, srv.URL(), spawned, consumer.Config{}, nats.MaxReconnects(0))
	srv.Shutdown()
	require.ErrorContains(t, r.wait(t), "closed for good")
}

func TestHiveWithoutPermissionSaysSo(t *testing.T) {
	t.Parallel()
	srv := configured(t, `authorization { users: [
		{ user: gpu-1, password: x, permissions: { subscribe: ["rbee.v1.hive.gpu-1.*", "_INBOX.>"] } }
	] }`)
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})

	nc := dial(t, srv.URL(), nats.UserInfo("gpu-1", "x"), quiet)
	err := run(t, nc, spawned, consumer.Config{HiveID: "gpu-2", Ready: func() { t.Error("ready without its jobs") }}).wait(t)
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.ErrorContains(t, err, "rbee.v1.hive.gpu-2.*")

	// A hive that may not be discovered takes its jobs all the same.
	serve(t, srv.URL(), spawned, consumer.Config{}, nats.UserInfo("gpu-1", "x"), quiet)
}
