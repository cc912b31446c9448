package natsd_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestStartServesOnAFreePort(t *testing.T) {
	t.Parallel()
	a, b := start(t, natsd.Config{}), start(t, natsd.Config{})

	require.NotEqual(t, a.URL(), b.URL())
	require.True(t, strings.HasPrefix(a.URL(), "nats://127.0.0.1:"), a.URL())

	nc := dial(t, a.URL())
	sub, err := nc.SubscribeSync("greeting")
	require.NoError(t, err)
	require.NoError(t, nc.Publish("greeting", []byte("hello")))
	require.NoError(t, nc.Flush())
	pending, _, err := sub.Pending()
	require.NoError(t, err)
	require.Equal(t, 1, pending)
}

func TestStartListensEverywhereAndNamesAnAddressToDial(t *testing.T) {
	t.Parallel()
	srv := start(t, natsd.Config{Host: "0.0.0.0", Name: "everywhere"})

	require.True(t, strings.HasPrefix(srv.URL(), "nats://localhost:"), srv.URL())
	require.Equal(t, "everywhere", dial(t, srv.URL()).ConnectedServerName())
}

func TestJetStreamIsOnOnlyWithAStore(t *testing.T) {
	t.Parallel()
	store := t.TempDir() // before the server, so that it goes after it
	cases := map[string]struct {
		cfg natsd.Config
		on  bool
	}{
		"no store": {natsd.Config{}, false},
		"a store":  {natsd.Config{StoreDir: store}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			js := natstest.JetStream(t, dial(t, start(t, tc.cfg).URL()))
			_, err := js.AccountInfo(t.Context())
			if tc.on {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, jetstream.ErrJetStreamNotEnabled)
		})
	}
}

func TestStoreSurvivesARestart(t *testing.T) {
	t.Parallel()
	cfg := natsd.Config{StoreDir: t.TempDir()}
	srv := start(t, cfg)
	nc := dial(t, srv.URL())
	js := natstest.JetStream(t, nc)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept.>"}})
	require.NoError(t, err)
	nc.Close()
	srv.Shutdown()

	js = natstest.JetStream(t, dial(t, start(t, cfg).URL()))
	_, err = js.Stream(t.Context(), "KEPT")
	require.NoError(t, err)
}

func TestShutdownEndsTheServerAndFreesThePort(t *testing.T) {
	t.Parallel()
	srv := start(t, natsd.Config{})
	closed := make(chan struct{})
	nc, err := nats.Connect(srv.URL(), nats.Timeout(time.Minute), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(t, err)
	defer nc.Close()

	srv.Shutdown()
	srv.Shutdown()

	<-closed
	_, err = net.Dial("tcp", strings.TrimPrefix(srv.URL(), "nats://"))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestConfigFileGivesUsersButNoAddresses(t *testing.T) {
	t.Parallel()
	taken := listen(t)
	conf := write(t, `
		server_name: from-the-file
		listen: 192.0.2.1:4222
		http: `+taken.Addr().String()+`
		cluster { name: c, listen: `+taken.Addr().String()+` }
		leafnodes { listen: `+taken.Addr().String()+` }
		jetstream { store_dir: "/nowhere/at/all" }
		authorization { user: ada, password: lovelace }
	`)
	srv := start(t, natsd.Config{ConfigFile: conf})

	_, err := nats.Connect(srv.URL(), nats.Timeout(time.Minute))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	nc := dial(t, srv.URL(), nats.UserInfo("ada", "lovelace"))
	require.Equal(t, "from-the-file", nc.ConnectedServerName())
}

func TestStartSaysWhatToDo(t *testing.T) {
	t.Parallel()
	taken := listen(t)
	file := write(t, "a file, not a directory")
	cases := map[string]struct {
		cfg  natsd.Config
		is   error
		says []string
	}{
		"the port is in use": {
			cfg:  natsd.Config{Port: taken.Addr().(*net.TCPAddr).Port},
			is:   syscall.EADDRINUSE,
			says: []string{taken.Addr().String(), "another server listens there", "port 0"},
		},
		"the store is a file": {
			cfg:  natsd.Config{StoreDir: filepath.Join(file, "store")},
			says: []string{"JetStream", "may write", file},
		},
		"the configuration is missing": {
			cfg:  natsd.Config{ConfigFile: filepath.Join(t.TempDir(), "none.conf")},
			is:   os.ErrNotExist,
			says: []string{"none.conf"},
		},
		"the configuration has a mistake": {
			cfg:  natsd.Config{ConfigFile: write(t, "listen: 127.0.0.1:4222\nlissten: 1\n")},
			says: []string{"lissten", ":2:", "correct that line"},
		},
		"the configuration names a variable that is not set": {
			cfg:  natsd.Config{ConfigFile: write(t, "authorization { user: a, password: $RBEE_NATSD_TEST_UNSET }\n")},
			says: []string{"RBEE_NATSD_TEST_UNSET", "set the variable"},
		},
		"a server of a cluster without a name": {
			cfg:  natsd.Config{Cluster: &natsd.Cluster{Name: "c", Port: 6222, Routes: []string{"127.0.0.1:6222"}}},
			says: []string{"needs a name", "its routes"},
		},
		"a route without a port": {
			cfg:  natsd.Config{Name: "s", Cluster: &natsd.Cluster{Name: "c", Port: 6222, Routes: []string{"127.0.0.1"}}},
			says: []string{`route "127.0.0.1": write it like`},
		},
		"the host is not of this machine": {
			cfg:  natsd.Config{Host: "192.0.2.1"},
			is:   syscall.EADDRNOTAVAIL,
			says: []string{"192.0.2.1"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			srv, err := natsd.Start(tc.cfg)
			require.Error(t, err)
			require.Nil(t, srv)
			if tc.is != nil {
				require.ErrorIs(t, err, tc.is)
			}
			for _, text := range tc.says {
				require.ErrorContains(t, err, text)
			}
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func start(t *testing.T, cfg natsd.Config) *natsd.Server {
	t.Helper()
	srv, err := natsd.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(srv.Shutdown)
	return srv
}

func dial(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{nats.Timeout(time.Minute)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats-server.conf")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
