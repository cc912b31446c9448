package queen_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func TestHivesListsTheFleetById(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	for _, meta := range []map[string]string{
		metadata("gpu-2"), metadata("gpu-1"), metadata("gpu-2"),
		{"hive_id": "bare", "prefix": messages.DefaultPrefix, "host": "bare.example", "run_dir": "0123456789abcdef"},
		{"hive_id": "elsewhere", "prefix": "other.v1"},
		{"hive_id": "bad id", "prefix": messages.DefaultPrefix},
		{"prefix": messages.DefaultPrefix},
		nil,
	} {
		announce(t, srv.URL(), meta)
	}
	client, nc := connect(t, srv.URL())

	hives := find(t, client, 4)
	require.Zero(t, nc.NumSubscriptions())
	for i, id := range []string{"bare", "gpu-1", "gpu-2", "gpu-2"} {
		require.Equal(t, id, hives[i].ID)
		require.NotEmpty(t, hives[i].ServiceID)
		require.Greater(t, hives[i].RTT, time.Duration(0))
	}
	require.Equal(t, "linux/amd64", hives[1].Platform)
	require.Equal(t, "1.2.3", hives[1].Version)
	require.Equal(t, []messages.Device{{Device: "cpu", Kind: "cpu"}, {Device: "cuda:0", Kind: "cuda", Name: "NVIDIA L4"}}, hives[1].Devices)
	require.Nil(t, hives[0].Devices)
	require.Equal(t, "0.0.1", hives[0].Version, "the version of the service, where the metadata has none")
	require.Equal(t, []string{"bare.example", "0123456789abcdef"}, []string{hives[0].Host, hives[0].RunDir})
	require.Less(t, hives[2].ServiceID, hives[3].ServiceID, "two processes of one hive")
}

func TestHivesOfAnotherPrefix(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	announce(t, srv.URL(), metadata("gpu-1"))
	announce(t, srv.URL(), map[string]string{"hive_id": "gpu-7", "prefix": "other.v1"})
	subjects, err := messages.NewSubjects("other.v1")
	require.NoError(t, err)
	client := queen.New(natstest.Dial(t, srv.URL()), queen.Config{Subjects: subjects})

	hives := find(t, client, 1)
	require.Equal(t, "gpu-7", hives[0].ID)
}

func TestHivesWhereThereAreNone(t *testing.T) {
	t.Parallel()
	client, _ := connect(t, natstest.Server(t).URL())
	hives, err := client.Hives(patient(t))
	require.NoError(t, err)
	require.Empty(t, hives)
}

func TestHivesSaysWhyItCannotKnow(t *testing.T) {
	t.Parallel()
	t.Run("the context has ended", func(t *testing.T) {
		t.Parallel()
		client, _ := connect(t, natstest.Server(t).URL())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := client.Hives(ctx)
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("the connection is closed", func(t *testing.T) {
		t.Parallel()
		client, nc := connect(t, natstest.Server(t).URL())
		nc.Close()
		_, err := client.Hives(patient(t))
		require.ErrorIs(t, err, nats.ErrConnectionClosed)
	})
	t.Run("the server is away", func(t *testing.T) {
		t.Parallel()
		srv, away := natstest.Server(t), make(chan struct{})
		client, _ := connect(t, srv.URL(), nats.ReconnectWait(time.Hour), nats.DisconnectErrHandler(func(*nats.Conn, error) { close(away) }))
		srv.Shutdown()
		<-away
		_, err := client.Hives(patient(t))
		require.ErrorIs(t, err, nats.ErrDisconnected)
	})
	t.Run("this user may not ask", func(t *testing.T) {
		t.Parallel()
		srv := guarded(t, `publish: "rbee.>", subscribe: ">"`)
		client, _ := connect(t, srv.URL(), nats.UserInfo("queen", "q"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		_, err := client.Hives(patient(t))
		require.ErrorIs(t, err, nats.ErrPermissionViolation)
	})
}

// Who has no time to listen until it is quiet gets what was heard by then.
func TestHivesReturnsWhatWasHeardWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	announce(t, srv.URL(), metadata("gpu-1"))
	client, _ := connect(t, srv.URL())
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		hives, err := client.Hives(ctx)
		require.ErrorIs(c, err, context.DeadlineExceeded)
		require.Len(c, hives, 1)
		require.Equal(c, "gpu-1", hives[0].ID)
	}, patience, time.Millisecond)
}

// find returns n hives. On a busy machine one that answers late is missed, so it asks until as many have answered.
func find(t *testing.T, client *queen.Client, n int) []queen.Hive {
	t.Helper()
	for ctx := patient(t); ; {
		hives, err := client.Hives(ctx)
		require.NoError(t, err)
		require.LessOrEqual(t, len(hives), n)
		if len(hives) == n {
			return hives
		}
	}
}
