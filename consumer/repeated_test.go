package consumer_test

import (
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// say publishes what gpu-2 may publish: a result of its own, with content and headers of its choice.
func (f *fleet) say(data string, header nats.Header) {
	f.tb.Helper()
	_, err := f.js.PublishMsg(f.tb.Context(), &nats.Msg{Subject: "rbee.v1.result.gpu-2.job-x", Data: []byte(data), Header: header})
	require.NoError(f.tb, err)
}

// ways are how the server can be had to repeat the result of gpu-2 on another subject.
var ways = map[string]func(f *fleet, data, subject string){
	"direct get": func(f *fleet, data, subject string) {
		f.say(data, nil)
		f.directGet(subject)
	},
	"direct get of a message that bears a mark": func(f *fleet, data, subject string) {
		f.say(data, nats.Header{"Nats-Stream": {""}})
		f.directGet(subject)
	},
	"republish": func(f *fleet, data, subject string) {
		_, err := f.js.CreateStream(f.tb.Context(), jetstream.StreamConfig{
			Name: "COPIES", Subjects: []string{"copies"}, RePublish: &jetstream.RePublish{Source: "copies", Destination: subject},
		})
		require.NoError(f.tb, err)
		f.queueOn("copies", data)
	},
}

func (f *fleet) directGet(subject string) {
	f.tb.Helper()
	require.NoError(f.tb, f.nc.PublishRequest("$JS.API.DIRECT.GET.RBEE_RESULTS.rbee.v1.result.gpu-2.job-x", subject, nil))
	require.NoError(f.tb, f.nc.Flush())
}

// push has a consumer deliver the result of gpu-2: that leaves no mark but the reply subject, which no stream keeps. The server delivers
// where somebody has subscribed to the very subject.
func push(f *fleet, data, subject string) {
	f.say(data, nil)
	_, err := f.nc.Subscribe(subject, func(*nats.Msg) {})
	require.NoError(f.tb, err)
	require.NoError(f.tb, f.nc.Flush())
	_, err = f.js.CreatePushConsumer(f.tb.Context(), "RBEE_RESULTS", jetstream.ConsumerConfig{
		FilterSubject: "rbee.v1.result.gpu-2.job-x", DeliverSubject: subject, AckPolicy: jetstream.AckNonePolicy,
	})
	require.NoError(f.tb, err)
}

func TestARequestThatAStreamRepeatsIsDropped(t *testing.T) {
	t.Parallel()
	all := map[string]func(*fleet, string, string){"push consumer": push}
	maps.Copy(all, ways)
	for name, repeat := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, natstest.Server(t).URL())
			g, log := newGate(), &logged{}
			f.keeper(g, consumer.Config{Logger: log.logger()})
			repeat(f, llama, "rbee.v1.hive.gpu-1.worker_spawn")
			require.Eventually(t, func() bool { return log.count("request dropped: a stream repeats it") == 1 }, patience, time.Millisecond)
			require.Empty(t, g.arrived)
		})
	}
}

func TestAQueuedJobThatAStreamRepeatedIsNotRun(t *testing.T) {
	t.Parallel()
	for name, repeat := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, natstest.Server(t).URL())
			g := newGate()
			f.keeper(g, consumer.Config{})
			repeat(f, llamaQueued, "rbee.v1.job.gpu-1.worker_spawn.job-1")
			require.Contains(t, f.dead(), "a stream repeated it")
			f.awaitEmpty()
			require.Empty(t, g.arrived)
			_, err := f.stream("RBEE_RESULTS").GetLastMsgForSubject(t.Context(), "rbee.v1.result.gpu-1.job-1")
			require.ErrorIs(t, err, jetstream.ErrMsgNotFound, "it has no result that a real job of this id would find")

			f.queue("job-1", llamaQueued)
			g.next(t).through()
			f.success("job-1")
		})
	}
}

// What stands as a job's result and is not its hive's word about this job keeps no job from being run, and goes when there is one.
func TestAStoredResultThatIsNotTheHivesIsNone(t *testing.T) {
	t.Parallel()
	of := func(job, hive string) string {
		r := resultOf(messages.Job{Model: "m", Device: "cpu"})
		r.JobID, r.HiveID, r.WorkerID, r.PID = job, hive, "w1", 666
		data, err := r.Encode()
		require.NoError(t, err)
		return string(data)
	}
	const mine = "rbee.v1.result.gpu-1.job-1"
	plants := map[string]func(f *fleet){
		"of another job":  func(f *fleet) { f.queueOn(mine, of("job-2", "gpu-1")) },
		"of another hive": func(f *fleet) { f.queueOn(mine, of("job-1", "gpu-2")) },
		"no result":       func(f *fleet) { f.queueOn(mine, `{"stats":1}`) },
	}
	for name, repeat := range ways {
		plants["by "+name] = func(f *fleet) { repeat(f, of("job-1", "gpu-1"), mine) }
	}
	for name, plant := range plants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, natstest.Server(t).URL())
			plant(f)
			results := f.stream("RBEE_RESULTS")
			require.Eventually(t, func() bool {
				info, err := results.Info(t.Context(), jetstream.WithSubjectFilter(mine))
				return err == nil && info.State.Subjects[mine] == 1
			}, patience, time.Millisecond)
			g := newGate()
			f.keeper(g, consumer.Config{})
			f.queue("job-1", llamaQueued)
			g.next(t).through()
			f.awaitEmpty()
			require.NotEqual(t, 666, f.success("job-1").PID)
		})
	}
}

// A header that whoever stored a message gave it stands before the server's own.
func TestAResultWithHeadersOfTheServersIsItsHivesWord(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	r := resultOf(messages.Job{Model: "m", Device: "cpu"})
	r.JobID, r.HiveID, r.WorkerID = "job-1", "gpu-1", "w1"
	data, err := r.Encode()
	require.NoError(t, err)
	_, err = f.js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "rbee.v1.result.gpu-1.job-1", Data: data,
		Header: nats.Header{"Nats-Sequence": {"77"}, "Nats-Time-Stamp": {"never"}, "Status": {"404"}},
	})
	require.NoError(t, err)
	g := newGate()
	f.keeper(g, consumer.Config{})
	f.queue("job-1", llamaQueued)
	f.awaitEmpty()
	require.Empty(t, g.arrived)
	require.Equal(t, messages.ActionSpawnReplayed, f.story("job-1", 1)[0].Action)
}
