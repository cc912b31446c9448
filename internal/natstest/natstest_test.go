package natstest_test

import (
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/natstest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestConnectIsAFreshServerWithJetStream(t *testing.T) {
	t.Parallel()
	a, b := natstest.Connect(t), natstest.Connect(t)
	require.NotEqual(t, a.ConnectedUrl(), b.ConnectedUrl())
	require.Equal(t, t.Name(), a.Opts.Name)

	js := natstest.JetStream(t, a)
	info, err := js.AccountInfo(t.Context())
	require.NoError(t, err)
	require.Zero(t, info.Streams)
}

func TestDialReachesTheSameServer(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	speaker := natstest.Dial(t, srv.URL(), nats.Name("speaker"))
	listener := natstest.Dial(t, srv.URL())
	require.Equal(t, "speaker", speaker.Opts.Name)

	sub, err := listener.SubscribeSync("word")
	require.NoError(t, err)
	require.NoError(t, listener.Flush())
	require.NoError(t, speaker.Publish("word", []byte("said")))
	msg, err := sub.NextMsgWithContext(t.Context())
	require.NoError(t, err)
	require.Equal(t, "said", string(msg.Data))
}

func TestEverythingEndsWithTheTest(t *testing.T) {
	t.Parallel()
	var nc *nats.Conn
	var address string
	t.Run("the test that ends", func(t *testing.T) {
		srv := natstest.Server(t)
		nc, address = natstest.Dial(t, srv.URL()), strings.TrimPrefix(srv.URL(), "nats://")
	})

	require.True(t, nc.IsClosed())
	_, err := net.Dial("tcp", address)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}
