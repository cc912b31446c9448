package queen_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// everything is what two hives say in the tests below, in order.
func everything() []messages.Event {
	return []messages.Event{
		{HiveID: "gpu-1", Action: messages.ActionHiveStarted},
		{HiveID: "gpu-1", JobID: "job-1", WorkerID: "w1", Seq: 1, Action: messages.ActionSpawnStart},
		{HiveID: "gpu-2", JobID: "job-2", WorkerID: "w2", Seq: 1, Action: messages.ActionSpawnStart},
		{HiveID: "gpu-1", JobID: "job-1", WorkerID: "w1", Seq: 2, Action: messages.ActionSpawnComplete, Terminal: true},
		{HiveID: "gpu-2", JobID: "job-2", WorkerID: "w2", Seq: 2, Action: messages.ActionSpawnFailed, Terminal: true},
		{HiveID: "gpu-1", WorkerID: "w1", Action: messages.ActionExited},
	}
}

func TestWatchTellsWhatItsFilterChooses(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	fleet := &hive{tb: t, nc: natstest.Dial(t, srv.URL())}
	client, _ := connect(t, srv.URL())

	cases := map[string]struct {
		filter queen.Filter
		want   []int // of everything
	}{
		"all":                      {queen.Filter{}, []int{0, 1, 2, 3, 4, 5}},
		"one hive":                 {queen.Filter{Hive: "gpu-1"}, []int{0, 1, 3, 5}},
		"one job":                  {queen.Filter{Job: "job-2"}, []int{2, 4}},
		"one action":               {queen.Filter{Action: "worker_spawn_start"}, []int{1, 2}},
		"hives":                    {queen.Filter{Job: messages.AboutHive}, []int{0}},
		"workers":                  {queen.Filter{Job: messages.AboutWorker}, []int{5}},
		"one action of one hive":   {queen.Filter{Hive: "gpu-2", Action: "worker_spawn_failed"}, []int{4}},
		"one hive, job and action": {queen.Filter{Hive: "gpu-1", Job: "job-1", Action: "worker_spawn_start"}, []int{1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			narration, err := client.Watch(patient(t), tc.filter)
			require.NoError(t, err)
			defer narration.Close()
			all := everything()
			for _, e := range all {
				fleet.publish(e)
			}
			require.NoError(t, fleet.nc.Flush()) // so that nothing of it reaches the next case
			for _, i := range tc.want {
				event, err := narration.Next(patient(t))
				require.NoError(t, err)
				require.Equal(t, all[i].Action, event.Action)
				require.Equal(t, all[i].HiveID, event.HiveID)
				require.Equal(t, all[i].JobID, event.JobID)
			}
			require.Zero(t, narration.Skipped())
		})
	}
}

func TestWatchRefusesAFilterThatIsNone(t *testing.T) {
	t.Parallel()
	client, nc := connect(t, natstest.Server(t).URL())
	for field, filter := range map[string]queen.Filter{
		"watch hive":   {Hive: "gpu.*"},
		"watch job":    {Job: ">"},
		"watch action": {Action: messages.AboutHive},
	} {
		_, err := client.Watch(patient(t), filter)
		require.ErrorIs(t, err, messages.InvalidJob)
		require.ErrorContains(t, err, field)
	}
	require.Zero(t, nc.NumSubscriptions())
}

func TestWatchByAUserWhoMayNot(t *testing.T) {
	t.Parallel()
	srv := guarded(t, `subscribe: "rbee.v1.narration.gpu-1.>"`)
	for name, opts := range map[string][]nats.Option{
		"plain connection":                      nil,
		"connection that tells refusals to all": {nats.PermissionErrOnSubscribe(true)},
	} {
		t.Run(name, func(t *testing.T) {
			opts := append(opts, nats.UserInfo("queen", "q"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
			client, nc := connect(t, srv.URL(), opts...)
			for range 3 { // each time anew, whatever the connection remembers
				_, err := client.Watch(patient(t), queen.Filter{})
				require.ErrorIs(t, err, nats.ErrPermissionViolation)
				narration, err := client.Watch(patient(t), queen.Filter{Hive: "gpu-1"})
				require.NoError(t, err)
				narration.Close()
			}
			require.Zero(t, nc.NumSubscriptions())
		})
	}
}

func TestWatchPassesOverWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	fleet := &hive{tb: t, nc: natstest.Dial(t, srv.URL())}
	client, _ := connect(t, srv.URL())
	narration, err := client.Watch(patient(t), queen.Filter{})
	require.NoError(t, err)
	defer narration.Close()

	impostor := messages.Event{HiveID: "gpu-2", JobID: "job-1", Action: messages.ActionSpawned}
	impostor.Stamp(time.Now())
	fleet.send("rbee.v1.narration.gpu-1.job-1.worker_spawned", impostor)
	require.NoError(t, fleet.nc.Publish("rbee.v1.narration.gpu-1.job-1.worker_spawned", []byte(`{"type":"other"}`)))
	require.NoError(t, fleet.nc.Publish("rbee.v1.narration.gpu-1.job-1.worker_spawned", nil))
	fleet.publish(everything()[1])

	event, err := narration.Next(patient(t))
	require.NoError(t, err)
	require.Equal(t, messages.ActionSpawnStart, event.Action)
	require.Equal(t, 3, narration.Skipped())
}

func TestWatchSaysHowMuchASlowReaderMissed(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	fleet := &hive{tb: t, nc: natstest.Dial(t, srv.URL()), id: "gpu-1"}
	client, nc := connect(t, srv.URL(), nats.SyncQueueLen(4), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	narration, err := client.Watch(patient(t), queen.Filter{})
	require.NoError(t, err)
	defer narration.Close()

	told := messages.Job{JobID: "job-1"}
	for seq := range 10 {
		fleet.narrate(told, seq+1, messages.ActionReady)
	}
	require.NoError(t, fleet.nc.Flush())
	require.NoError(t, nc.Flush())

	_, err = narration.Next(patient(t))
	require.Equal(t, &queen.GapError{Dropped: 6}, err)
	require.ErrorContains(t, err, "6 events were dropped")
	for seq := range 4 {
		event, err := narration.Next(patient(t))
		require.NoError(t, err)
		require.Equal(t, seq+1, event.Seq)
	}
	fleet.narrate(told, 11, messages.ActionReady)
	event, err := narration.Next(patient(t))
	require.NoError(t, err, "a gap is reported once")
	require.Equal(t, 11, event.Seq)
}

func TestWatchSaysThatTheConnectionWasLost(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	fleet := &hive{tb: t, nc: natstest.Dial(t, srv.URL())}
	back := make(chan struct{})
	client, nc := connect(t, srv.URL(), nats.ReconnectHandler(func(*nats.Conn) { close(back) }))
	narration, err := client.Watch(patient(t), queen.Filter{})
	require.NoError(t, err)
	defer narration.Close()

	require.NoError(t, nc.ForceReconnect())
	<-back
	require.NoError(t, nc.Flush())
	fleet.publish(everything()[0])

	_, err = narration.Next(patient(t))
	require.Equal(t, &queen.GapError{Reconnected: true}, err)
	require.ErrorContains(t, err, "the connection was lost")
	event, err := narration.Next(patient(t))
	require.NoError(t, err)
	require.Equal(t, messages.ActionHiveStarted, event.Action)
}

func TestEventsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	fleet := &hive{tb: t, nc: natstest.Dial(t, srv.URL()), id: "gpu-1"}
	client, nc := connect(t, srv.URL(), nats.SyncQueueLen(2), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	narration, err := client.Watch(ctx, queen.Filter{})
	require.NoError(t, err)
	defer narration.Close()
	for seq := range 3 {
		fleet.narrate(messages.Job{JobID: "job-1"}, seq+1, messages.ActionReady)
	}
	require.NoError(t, fleet.nc.Flush())
	require.NoError(t, nc.Flush())

	var seen []int
	for event, err := range narration.Events(ctx) {
		if err != nil { // a gap does not end it
			_, gap := errors.AsType[*queen.GapError](err)
			require.True(t, gap, "%v", err)
		}
		if seen = append(seen, event.Seq); event.Seq == 2 {
			cancel()
		}
	}
	require.Equal(t, []int{0, 1, 2}, seen, "the gap, then what was kept")
}

func TestEventsEndWithTheNarration(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		end func(*queen.Narration, *nats.Conn)
		is  error
	}{
		"it is closed":             {func(n *queen.Narration, _ *nats.Conn) { n.Close(); n.Close() }, nats.ErrBadSubscription},
		"the connection is closed": {func(_ *queen.Narration, nc *nats.Conn) { nc.Close() }, nats.ErrConnectionClosed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, nc := connect(t, natstest.Server(t).URL())
			narration, err := client.Watch(patient(t), queen.Filter{})
			require.NoError(t, err)
			defer narration.Close()
			ended := make(chan []error, 1)
			go func() {
				var errs []error
				for _, err := range narration.Events(patient(t)) {
					errs = append(errs, err)
				}
				ended <- errs
			}()
			tc.end(narration, nc)
			errs := <-ended
			require.Len(t, errs, 1)
			require.ErrorIs(t, errs[0], tc.is)
		})
	}
}

func TestWatchOnAConnectionThatIsNotThere(t *testing.T) {
	t.Parallel()
	srv, away := natstest.Server(t), make(chan struct{})
	client, nc := connect(t, srv.URL(), nats.ReconnectWait(time.Hour), nats.DisconnectErrHandler(func(*nats.Conn, error) { close(away) }))
	srv.Shutdown()
	<-away
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client.Watch(ctx, queen.Filter{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	nc.Close()
	_, err = client.Watch(patient(t), queen.Filter{})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}
