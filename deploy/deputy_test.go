package deploy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// A hive may answer wherever the answer is wanted. Who pings it, or sends it a request, and names what only the administrator may ask of
// JetStream, gets nothing done: its answer is no question.
func TestNobodyHasAHiveAskJetStream(t *testing.T) {
	t.Parallel()
	everyQueue(t, nobodyHasAHiveAskJetStream)
}

func nobodyHasAHiveAskJetStream(t *testing.T, srv *broker) {
	queueOf(t, srv, hive1)
	serve(t, srv, hive1)
	boss := dial(t, srv, queen)
	js := natstest.JetStream(t, boss)
	_, err := js.Publish(t.Context(), "rbee.v1.job.gpu-1.worker_spawn.job-1", []byte("{}"))
	require.NoError(t, err)
	for _, order := range []string{
		"STREAM.PURGE.RBEE_JOBS", "STREAM.DELETE.RBEE_JOBS", "STREAM.MSG.DELETE.RBEE_JOBS", "CONSUMER.DELETE.RBEE_JOBS.gpu-1",
		"CONSUMER.PAUSE.RBEE_JOBS.gpu-1",
	} {
		for _, who := range []string{queen, observer} {
			nc := dial(t, srv, who)
			require.NoError(t, nc.PublishRequest("$SRV.PING", "$JS.API."+order, nil))
			require.False(t, refusal(t, nc), "%s pings", who)
			answers(t, nc, "$SRV.PING", 1) // the hive has answered the one before
		}
		require.NoError(t, boss.PublishRequest("rbee.v1.hive.gpu-1.worker_list", "$JS.API."+order, nil))
		answers(t, boss, "rbee.v1.hive.gpu-1.worker_list", 1)
	}
	stream, err := js.Stream(t.Context(), "RBEE_JOBS")
	require.NoError(t, err)
	require.EqualValues(t, 1, stream.CachedInfo().State.Msgs)
	consumer, err := js.Consumer(t.Context(), "RBEE_JOBS", "gpu-1")
	require.NoError(t, err)
	require.False(t, consumer.CachedInfo().Paused)
}

// A server that takes such an answer for a question would be one that is told to be lax, or is older than the setting.
func TestServersAreStrict(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"nats-server.conf", "cluster/cluster.conf"} {
		require.Equal(t, 1, strings.Count(readFile(t, path), "strict: true"), path)
	}
}
