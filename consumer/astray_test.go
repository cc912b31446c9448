package consumer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
)

// Whoever may send a hive requests could have it speak where only a hive may, or the administrator: an answer goes to no such place.
func TestARequestWhoseAnswerWouldGoAstrayIsDropped(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	log := &logged{}
	serve(t, f.url, g, consumer.Config{Logger: log.logger()})
	f.queue("job-1", llamaQueued)
	results := listen(t, f.url, "rbee.v1.result.>")
	replies := []string{"$JS.API.STREAM.PURGE.RBEE_JOBS", "$SRV.PING", "rbee.v1.result.gpu-2.job-x", "rbee.v1.hive.gpu-1.worker_delete"}
	for _, reply := range replies {
		for _, operation := range []string{"worker_list", "worker_spawn", "anything"} {
			require.NoError(t, f.nc.PublishRequest("rbee.v1.hive.gpu-1."+operation, reply, []byte(llama)))
		}
	}
	f.status() // it has seen all
	require.Equal(t, 3*len(replies), log.count("nobody waits for an answer there"))
	require.Empty(t, g.arrived)
	require.Empty(t, results.rest(t, f.nc))
	info, err := f.stream("RBEE_JOBS").Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.Msgs)
}
