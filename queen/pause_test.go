package queen_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// A machine can be paused before it is there.
func TestPauseOfAHiveThatNeverCame(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	until, err := client.Pause(ctx, "gpu-1", 0)
	require.NoError(t, err)
	place, err := client.HiveQueue(ctx, "gpu-1")
	require.NoError(t, err)
	require.WithinDuration(t, until, place.PausedUntil, time.Millisecond)
	_, err = client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.NoError(t, err)

	other, _ := connect(t, url)
	again, err := other.Pause(ctx, "gpu-1", time.Hour)
	require.NoError(t, err)
	place, err = client.HiveQueue(ctx, "gpu-1")
	require.NoError(t, err)
	require.WithinDuration(t, again, place.PausedUntil, time.Millisecond)
	require.Equal(t, uint64(1), place.Waiting)
	_, err = client.HiveQueue(ctx, "gpu-2")
	var none *queen.NoQueueError
	require.ErrorAs(t, err, &none)

	_, err = client.Pause(ctx, "gpu.1", 0)
	require.ErrorIs(t, err, messages.InvalidJob)
	js, err := jetstream.New(natstest.Dial(t, url))
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(ctx, "RBEE_JOBS"))
	_, err = client.Pause(ctx, "gpu-1", 0)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	require.ErrorContains(t, err, "rbee streams apply")
}

// Who may read the queue and pause those in it may still not be allowed to make a place in it.
func TestPauseByAUserWhoMayMakeNoConsumer(t *testing.T) {
	t.Parallel()
	srv := guarded(t, `publish: { deny: "$JS.API.CONSUMER.CREATE.>" }, subscribe: ">"`)
	admin, _ := connect(t, srv.URL(), nats.UserInfo("hive", "h"))
	_, err := admin.Apply(patient(t), queen.StreamsConfig{}, false)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	client, _ := connect(t, srv.URL(), nats.UserInfo("queen", "q"),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) { cancel() }))
	_, err = client.Pause(ctx, "gpu-1", 0)
	require.EqualError(t, err, "pause hive gpu-1: it has never taken jobs from the queue, and this user may not give it a place there: "+
		"start the hive once, or pause it as a user who may make consumers of RBEE_JOBS")
	_, err = admin.Pause(patient(t), "gpu-1", 0)
	require.NoError(t, err)
}
