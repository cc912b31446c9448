package consumer_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/queen"
)

// A hive that was paused before it first came takes no queued job until it is resumed, and makes the rest of its place as it wants it.
func TestAHiveThatIsPausedBeforeItComes(t *testing.T) {
	t.Parallel()
	url := natstest.Server(t).URL()
	f := newFleet(t, url)
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	defer nc.Close()
	client := queen.New(nc, queen.Config{})
	_, err = client.Pause(t.Context(), "gpu-1", 0)
	require.NoError(t, err)
	f.queue("job-1", llama)

	f.keeper(spawned, consumer.Config{})
	info := f.consumer()
	require.True(t, info.Paused)
	require.Equal(t, 5, info.Config.MaxDeliver)
	require.Equal(t, uint64(1), info.NumPending, "it was not handed out")
	require.NoError(t, client.Resume(t.Context(), "gpu-1"))
	f.success("job-1")
	f.awaitEmpty()
}
