package queen_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// What a hive puts into the headers of what it publishes, as if it were the server, misleads nobody about it.
func TestHeadersOfAHiveAreNotTakenForTheServers(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	header := nats.Header{
		"Nats-Sequence": {"77"}, "Nats-Subject": {"rbee.v1.result.gpu-2.job-9"}, "Nats-Time-Stamp": {"never"}, "Nats-Num-Pending": {"5"},
		"Nats-Last-Sequence": {"76"}, "Status": {"204"}, "Description": {"EOB"},
	}
	for _, id := range []string{"job-1", "job-2"} {
		data, err := success("gpu-1", named(id)).Encode()
		require.NoError(t, err)
		_, err = hive.js.PublishMsg(ctx, &nats.Msg{Subject: "rbee.v1.result.gpu-1." + id, Data: data, Header: header})
		require.NoError(t, err)
		event := messages.Event{Seq: 1, Action: messages.ActionSpawned, HiveID: "gpu-1", JobID: id, Attempt: 1, Human: "told"}
		event.Stamp(time.Now())
		data, err = event.Encode()
		require.NoError(t, err)
		_, err = hive.js.PublishMsg(ctx, &nats.Msg{Subject: "rbee.v1.narration.gpu-1." + id + ".worker_spawned", Data: data, Header: header})
		require.NoError(t, err)
	}
	page, err := client.Jobs(ctx, queen.JobFilter{})
	require.NoError(t, err)
	require.Equal(t, map[string]queen.JobState{"job-1": queen.JobDone, "job-2": queen.JobDone}, states(page.Jobs))
	for _, id := range []string{"job-1", "job-2"} {
		known, err := client.Job(ctx, "", id)
		require.NoError(t, err)
		require.Equal(t, []string{id, "gpu-1"}, []string{known.JobID, known.HiveID})
		require.WithinDuration(t, time.Now(), known.EndedAt, patience)
		events, err := client.Story(ctx, "gpu-1", id)
		require.NoError(t, err)
		require.Len(t, events, 1)
	}
}

// Who marks a message as one that a stream repeated is not believed, and keeps nobody from reading the others.
func TestAMarkThatAHiveMakesIsNoError(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	data, err := success("gpu-1", named("job-1")).Encode()
	require.NoError(t, err)
	_, err = hive.js.PublishMsg(ctx, &nats.Msg{Subject: "rbee.v1.result.gpu-1.job-1", Data: data, Header: nats.Header{"Nats-Stream": {""}}})
	require.NoError(t, err)
	known, err := client.Job(ctx, "", "job-1")
	require.NoError(t, err)
	require.Equal(t, queen.JobFailed, known.State)
	require.Nil(t, known.Answer)
	require.Contains(t, known.Reason, "not its hive's word")
}

// A result that speaks of another job, or of another hive's, is none of this one.
func TestAResultOfAnotherJobIsNone(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	for subject, said := range map[string]messages.Result{
		"job-1": success("gpu-1", named("job-2")), "job-3": success("gpu-2", named("job-3")),
	} {
		data, err := said.Encode()
		require.NoError(t, err)
		_, err = hive.js.Publish(ctx, "rbee.v1.result.gpu-1."+subject, data)
		require.NoError(t, err)
		known, err := client.Job(ctx, "gpu-1", subject)
		require.NoError(t, err)
		require.Equal(t, queen.JobFailed, known.State)
		require.Nil(t, known.Answer)
		require.Contains(t, known.Reason, "its result is one of job")
	}
}

func TestReadingAStreamThatAllowsNoDirectGetSaysWhatToDo(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	stream, err := hive.js.Stream(ctx, "RBEE_NARRATION")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.AllowDirect = false
	_, err = hive.js.UpdateStream(ctx, cfg)
	require.NoError(t, err)
	_, err = client.Story(ctx, "", "job-1")
	require.ErrorContains(t, err, "read stream RBEE_NARRATION: it does not allow direct get: correct it with `rbee streams apply`")
	_, err = client.Apply(ctx, queen.StreamsConfig{}, false)
	require.NoError(t, err)
	_, err = client.Story(ctx, "", "job-1")
	require.NoError(t, err)
}

func TestReadingWithoutPermissionSaysSo(t *testing.T) {
	t.Parallel()
	srv := guarded(t, `publish: "$JS.API.STREAM.INFO.>", subscribe: ">"`)
	all, _ := connect(t, srv.URL(), nats.UserInfo("hive", "h"))
	_, err := all.Apply(patient(t), queen.StreamsConfig{}, false)
	require.NoError(t, err)
	client, _ := connect(t, srv.URL(), nats.UserInfo("queen", "q"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	_, err = client.Story(patient(t), "gpu-1", "job-1")
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
}

// Many large events come in several parts, and nothing is left on the server by who has read them.
func TestHistoryOfManyLargeEvents(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	const n = 120
	text := strings.Repeat("twenty letters here.", 4000)
	for i := 1; i <= n; i++ {
		hive.publish(messages.Event{Seq: i, Action: messages.ActionLoading, HiveID: "gpu-1", JobID: "job-1", Attempt: 1, Human: text})
	}
	require.NoError(t, hive.nc.Flush())
	history, err := client.History(ctx, queen.Filter{Job: "job-1"}, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	defer history.Close()
	for want := 1; want <= n; want++ {
		event, err := history.Next(ctx)
		require.NoError(t, err)
		require.Equal(t, want, event.Seq)
	}
	stream, err := hive.js.Stream(ctx, "RBEE_NARRATION")
	require.NoError(t, err)
	require.Zero(t, stream.CachedInfo().State.Consumers)

	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = history.Next(short)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	hive.narrate(named("job-1"), n+1, messages.ActionSpawned) // and it goes on afterwards
	event, err := history.Next(ctx)
	require.NoError(t, err)
	require.Equal(t, n+1, event.Seq)
}
