package queen_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func TestApplyMakesTheStreamsAndThenDoesNothing(t *testing.T) {
	t.Parallel()
	client, nc := connect(t, natstest.Server(t).URL())
	plan, err := client.Plan(patient(t), queen.StreamsConfig{})
	require.NoError(t, err)
	require.Len(t, plan, 4)
	for _, change := range plan {
		require.True(t, change.Missing, change.Stream)
	}
	_, err = client.Apply(patient(t), queen.StreamsConfig{}, false)
	require.NoError(t, err)

	plan, err = client.Apply(patient(t), queen.StreamsConfig{}, false)
	require.NoError(t, err)
	for _, change := range plan {
		require.False(t, change.Changes(), "%s: %v", change.Stream, change.Fields)
	}

	js := natstest.JetStream(t, nc)
	want := map[string]jetstream.StreamConfig{}
	for _, cfg := range queen.Streams(messages.Subjects{}, queen.StreamsConfig{}) {
		want[cfg.Name] = cfg
	}
	require.Equal(t, []string{"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.RBEE_JOBS.*", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.RBEE_JOBS.*", "rbee.v1.trace.>"},
		want["RBEE_DEAD"].Subjects)
	for name := range want {
		stream, err := js.Stream(patient(t), name)
		require.NoError(t, err)
		got := stream.CachedInfo().Config
		got.Metadata, got.ConsumerLimits = nil, jetstream.StreamConsumerLimits{} // the server's own
		require.Equal(t, want[name], got)
	}
}

// A server of this day lets a stream have 1,000 consumers that does not say otherwise, and each hive has one.
func TestMoreThanAThousandHivesHaveAPlaceInTheQueue(t *testing.T) {
	t.Parallel()
	client, nc := connect(t, natstest.Server(t).URL())
	_, err := client.Apply(patient(t), queen.StreamsConfig{}, false)
	require.NoError(t, err)
	js := natstest.JetStream(t, nc)
	for i := range 1001 {
		hive := fmt.Sprintf("gpu-%d", i)
		_, err := js.CreateConsumer(patient(t), "RBEE_JOBS", jetstream.ConsumerConfig{
			Durable: hive, FilterSubject: messages.Subjects{}.Streams().HiveJobs(hive), AckPolicy: jetstream.AckExplicitPolicy, MemoryStorage: true,
		})
		require.NoError(t, err)
	}
}

func TestApplyNarrowsOnlyByForce(t *testing.T) {
	t.Parallel()
	client, _ := connect(t, natstest.Server(t).URL())
	_, err := client.Apply(patient(t), queen.StreamsConfig{JobsAge: 48 * time.Hour, MaxJobs: 10}, false)
	require.NoError(t, err)

	// Less time and more jobs: nothing is done, not even the part that would be harmless.
	wanted := queen.StreamsConfig{MaxJobs: 20}
	plan, err := client.Apply(patient(t), wanted, false)
	var narrow *queen.NarrowError
	require.ErrorAs(t, err, &narrow)
	require.ErrorContains(t, err, "RBEE_JOBS max_age: 48h0m0s → 24h0m0s")
	require.ErrorContains(t, err, "--force")
	require.Equal(t, []queen.FieldChange{
		{Field: "max_msgs", Have: "10", Want: "20"},
		{Field: "max_age", Have: "48h0m0s", Want: "24h0m0s", Narrows: true},
	}, plan[0].Fields)
	again, err := client.Plan(patient(t), wanted)
	require.NoError(t, err)
	require.Equal(t, plan, again)

	_, err = client.Apply(patient(t), wanted, true)
	require.NoError(t, err)
	again, err = client.Plan(patient(t), wanted)
	require.NoError(t, err)
	require.False(t, again[0].Changes())

	// Widening needs no force.
	_, err = client.Apply(patient(t), queen.StreamsConfig{JobsAge: 72 * time.Hour, MaxJobs: 30}, false)
	require.NoError(t, err)
}

// What no server changes is told and left alone; what we do not care about stays as an administrator set it.
func TestApplyLeavesAloneWhatItCannotOrNeedNotChange(t *testing.T) {
	t.Parallel()
	client, nc := connect(t, natstest.Server(t).URL())
	js := natstest.JetStream(t, nc)
	cfg := queen.Streams(messages.Subjects{}, queen.StreamsConfig{})[2]
	cfg.PersistMode, cfg.MaxBytes, cfg.Compression = jetstream.DefaultPersistMode, 1<<20, jetstream.S2Compression
	_, err := js.CreateStream(patient(t), cfg)
	require.NoError(t, err)

	plan, err := client.Apply(patient(t), queen.StreamsConfig{}, false)
	require.NoError(t, err)
	require.Equal(t, []queen.FieldChange{
		{Field: "max_bytes", Have: "1048576", Want: "1073741824"},
		{Field: "persist_mode", Have: "Default", Want: "Async", Fixed: true},
	}, plan[2].Fields)
	stream, err := js.Stream(patient(t), cfg.Name)
	require.NoError(t, err)
	require.Equal(t, int64(1<<30), stream.CachedInfo().Config.MaxBytes)
	require.Equal(t, jetstream.S2Compression, stream.CachedInfo().Config.Compression)
}

func TestStreamsBehindAnotherPrefixAreOthers(t *testing.T) {
	t.Parallel()
	url := natstest.Server(t).URL()
	first, _ := connect(t, url)
	subjects, err := messages.NewSubjects("test.fleet")
	require.NoError(t, err)
	second := queen.New(natstest.Dial(t, url), queen.Config{Subjects: subjects})
	for _, client := range []*queen.Client{first, second} {
		_, err := client.Apply(patient(t), queen.StreamsConfig{}, false)
		require.NoError(t, err)
	}
	states, err := second.StreamStates(patient(t))
	require.NoError(t, err)
	require.Equal(t, "RBEE_JOBS_test-fleet", states[0].Stream)
	require.False(t, states[0].Missing)
}

func TestStreamStatesSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	client, _ := connect(t, natstest.Server(t).URL())
	states, err := client.StreamStates(patient(t))
	require.NoError(t, err)
	require.Len(t, states, 4)
	require.Equal(t, queen.StreamState{Stream: "RBEE_JOBS", Missing: true}, states[0])
}

func TestStreamsNeedJetStream(t *testing.T) {
	t.Parallel()
	srv, err := natsd.Start(natsd.Config{})
	require.NoError(t, err)
	t.Cleanup(srv.Shutdown)
	client, _ := connect(t, srv.URL())
	_, err = client.Apply(patient(t), queen.StreamsConfig{}, false)
	require.ErrorIs(t, err, jetstream.ErrJetStreamNotEnabled)
	require.ErrorContains(t, err, "turn it on")
	_, err = client.Enqueue(patient(t), "gpu-1", job())
	require.ErrorIs(t, err, jetstream.ErrJetStreamNotEnabled)
	require.ErrorContains(t, err, "turn it on")
}
