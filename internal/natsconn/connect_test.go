package natsconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/porttest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestConnect(t *testing.T) {
	t.Parallel()
	plain := natstest.Server(t).URL()
	guarded, seed := guardedServer(t)
	deaf := strconv.Itoa(porttest.One(t))
	missing := filepath.Join(t.TempDir(), "missing")
	tests := map[string]struct {
		cfg  Config
		want string // empty: connects
	}{
		"no credentials needed":    {cfg: Config{Server: plain}},
		"user and password":        {cfg: Config{Server: guarded, User: "alice", Password: "right"}},
		"user in the URL":          {cfg: Config{Server: withUser(guarded, "alice", "right")}},
		"nkey":                     {cfg: Config{Server: guarded, NKey: seed}},
		"the second server is up":  {cfg: Config{Server: "nats://127.0.0.1:" + deaf + "," + plain}},
		"nobody there":             {Config{Server: "nats://u:secret@127.0.0.1:" + deaf}, "no NATS server answers at nats://127.0.0.1:" + deaf + ": start one"},
		"no credentials":           {Config{Server: guarded}, "wants credentials and none are given: give --creds"},
		"wrong password":           {Config{Server: guarded, User: "alice", Password: "secret"}, "refuses the credentials: check user alice and its password"},
		"wrong password in URL":    {Config{Server: withUser(guarded, "alice", "secret")}, "refuses the credentials: check user and password in the URL"},
		"wrong token":              {Config{Server: guarded, Token: "secret"}, "refuses the credentials: check the token"},
		"creds file missing":       {Config{Server: plain, Creds: missing}, "--creds: open " + missing},
		"nkey file missing":        {Config{Server: plain, NKey: missing}, "--nkey " + missing},
		"CA file missing":          {Config{Server: plain, TLSCA: missing}, "--tls-ca: "},
		"certificate file missing": {Config{Server: plain, TLSCert: missing, TLSKey: missing}, "--tls-cert and --tls-key: "},
		"contradiction":            {Config{Server: plain, Creds: missing, User: "u"}, "exclude each other"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc, err := Connect(t.Context(), test.cfg, Options{Name: t.Name(), InboxPrefix: "_INBOX_test"})
			if test.want == "" {
				require.NoError(t, err)
				require.Regexp(t, `^_INBOX_test\.`, nc.NewInbox())
				nc.Close()
				return
			}
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// What is wrong on this machine is told at once, also to a daemon: no server can mend it.
func TestDaemonDoesNotWaitForItsOwnMistakes(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for name, cfg := range map[string]Config{
		"creds":   {Creds: missing},
		"CA":      {TLSCA: missing},
		"context": {Context: missing},
		"URL":     {Server: "nats://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Connect(t.Context(), cfg, Options{Wait: true})
			require.Error(t, err)
		})
	}
}

func TestDaemonWaitsForTheServerAndComesBack(t *testing.T) {
	t.Parallel()
	port := porttest.One(t)
	cfg := Config{Server: "nats://127.0.0.1:" + strconv.Itoa(port)}
	log := newLog()

	connected := make(chan *nats.Conn, 1)
	go func() {
		nc, err := Connect(t.Context(), cfg, Options{Wait: true, Logger: slog.New(log)})
		if err != nil {
			t.Error(err)
		}
		connected <- nc
	}()
	log.await(t, slog.LevelWarn, "NATS is away, waiting for it")
	first := serve(t, natsd.Config{Port: port})
	nc := <-connected
	require.NotNil(t, nc)
	defer nc.Close()
	sub, err := nc.SubscribeSync("test")
	require.NoError(t, err)

	first.Shutdown()
	log.await(t, slog.LevelWarn, "NATS is away, waiting for it")
	serve(t, natsd.Config{Port: port})
	log.await(t, slog.LevelInfo, "NATS is back")
	require.NoError(t, nc.Publish("test", []byte("again")))
	msg, err := sub.NextMsg(time.Minute)
	require.NoError(t, err)
	require.Equal(t, "again", string(msg.Data))
}

func TestDaemonWaitsForItsCredentialsToBeMended(t *testing.T) {
	t.Parallel()
	port := porttest.One(t)
	users := func(password string) natsd.Config {
		text := fmt.Sprintf(`authorization { users: [{user: alice, password: %s}] }`, password)
		return natsd.Config{Port: port, ConfigFile: write(t, "nats.conf", text)}
	}
	before := serve(t, users("before"))
	log := newLog()

	cfg := Config{Server: "nats://127.0.0.1:" + strconv.Itoa(port), User: "alice", Password: "secret"}
	connected := make(chan *nats.Conn, 1)
	go func() {
		nc, err := Connect(t.Context(), cfg, Options{Wait: true, Logger: slog.New(log)})
		if err != nil {
			t.Error(err)
		}
		connected <- nc
	}()
	text := log.await(t, slog.LevelError, "NATS refuses the credentials, trying again")
	require.Contains(t, text, "check user alice and its password")
	require.NotContains(t, text, "secret")
	before.Shutdown()
	mended := serve(t, users("secret"))
	nc := <-connected
	require.NotNil(t, nc)
	defer nc.Close()

	// Refused on the way back, more than once, and still not given up.
	mended.Shutdown()
	again := serve(t, users("other"))
	for range 3 {
		log.await(t, slog.LevelError, "NATS refuses the credentials, trying again: check them here and on the server")
	}
	again.Shutdown()
	serve(t, users("secret"))
	log.await(t, slog.LevelInfo, "NATS is back")
}

func TestDaemonStopsWaitingWhenItIsTold(t *testing.T) {
	t.Parallel()
	log := newLog()
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cfg := Config{Server: fmt.Sprintf("nats://127.0.0.1:%d", porttest.One(t))}
	ended := make(chan error, 1)
	go func() {
		_, err := Connect(ctx, cfg, Options{Wait: true, Logger: slog.New(log)})
		ended <- err
	}()
	log.await(t, slog.LevelWarn, "NATS is away, waiting for it")
	cancel(stop)
	require.ErrorIs(t, <-ended, stop)
}

func TestPublicationsThatAreNotPermittedAreLogged(t *testing.T) {
	t.Parallel()
	conf := write(t, "nats.conf", `authorization { users: [{user: a, password: b, permissions: {publish: "allowed.>", subscribe: "allowed.>"}}] }`)
	server := serve(t, natsd.Config{ConfigFile: conf})
	log := newLog()
	nc, err := Connect(t.Context(), Config{Server: server.URL(), User: "a", Password: "b"}, Options{Logger: slog.New(log)})
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.SubscribeSync("rbee.v1.narration.gpu-1.@hive.hive_started")
	require.NoError(t, err)
	log.await(t, slog.LevelDebug, "NATS does not permit to hear that a hive starts again: a job is not sent again by itself")
	require.NoError(t, nc.Publish("rbee.v1.narration.gpu-1.@hive.hive_started", nil))
	require.Contains(t, log.await(t, slog.LevelError, "NATS does not permit a subject: check the user's permissions on the server"), "hive_started")
	require.NoError(t, nc.Publish("forbidden.subject", nil))
	require.Contains(t, log.await(t, slog.LevelError, "NATS does not permit a subject: check the user's permissions on the server"), "forbidden.subject")
}

func TestConnectByContext(t *testing.T) {
	t.Parallel()
	guarded, _ := guardedServer(t)
	other := natstest.Server(t).URL()
	good := write(t, "good.json", fmt.Sprintf(`{"url": %q, "user": "alice", "password": "right"}`, guarded))
	wrong := write(t, "wrong.json", fmt.Sprintf(`{"url": %q, "user": "alice", "password": "secret"}`, guarded))

	nc, err := Connect(t.Context(), Config{Context: good}, Options{})
	require.NoError(t, err)
	require.Equal(t, guarded, nc.ConnectedUrl())
	nc.Close()

	nc, err = Connect(t.Context(), Config{Context: good, Server: other}, Options{})
	require.NoError(t, err)
	require.Equal(t, other, nc.ConnectedUrl(), "--server wins over the context's")
	nc.Close()

	_, err = Connect(t.Context(), Config{Context: wrong}, Options{})
	require.ErrorContains(t, err, "refuses the credentials: check those of context "+wrong)
	require.NotContains(t, err.Error(), "secret")

	_, err = Connect(t.Context(), Config{Context: "no-such-context"}, Options{})
	require.ErrorContains(t, err, "NATS context no-such-context: ")
	require.ErrorContains(t, err, "`nats context ls` shows those that there are")
}

func TestBackoffGrowsAndStaysBounded(t *testing.T) {
	t.Parallel()
	least := time.Duration(0)
	for rounds := range 100 {
		delay := backoff(rounds)
		require.GreaterOrEqual(t, delay, min(max(least, firstDelay), mostDelay))
		require.Less(t, delay, mostDelay*5/4)
		if rounds > 0 {
			least = min(firstDelay<<min(rounds, 6), mostDelay)
		}
	}
}
