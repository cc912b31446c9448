package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	fleet "github.com/rbee-keeper/hive/queen"
)

// everyQueue tests something under each way in which a fleet is deployed, with the streams.
func everyQueue(t *testing.T, test func(*testing.T, *broker)) {
	everyBroker(t, func(t *testing.T, srv *broker) {
		makeStreams(t, srv)
		test(t, srv)
	})
}

// makeStreams has the administrator make the streams.
func makeStreams(t *testing.T, srv *broker) {
	t.Helper()
	nc := dial(t, srv, admin)
	client := fleet.New(nc, fleet.Config{})
	for range 2 { // making them, and finding that nothing is to do
		_, err := client.Apply(t.Context(), fleet.StreamsConfig{}, false)
		require.NoError(t, err)
	}
	require.False(t, refusal(t, nc), "the administrator makes the streams")
}

// queued plays the hive side of the queue with the permissions of a hive.
type queued struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	id       string
	consumer jetstream.Consumer
}

func queueOf(t *testing.T, srv *broker, role string) *queued {
	t.Helper()
	q := &queued{nc: dial(t, srv, role), id: strings.TrimPrefix(role, "hive-")}
	var err error
	q.js = natstest.JetStream(t, q.nc)
	for range 2 { // the second time as after a restart
		q.consumer, err = q.js.CreateOrUpdateConsumer(t.Context(), "RBEE_JOBS", jetstream.ConsumerConfig{
			Durable: q.id, FilterSubject: "rbee.v1.job." + q.id + ".*.*", AckPolicy: jetstream.AckExplicitPolicy,
		})
		require.NoError(t, err)
	}
	_, err = q.consumer.Info(t.Context())
	require.NoError(t, err)
	return q
}

// run takes a job, tells, answers and acknowledges it, as a hive does.
func (q *queued) run(t *testing.T) string {
	t.Helper()
	msg, err := q.consumer.Next(jetstream.FetchMaxWait(time.Minute))
	require.NoError(t, err)
	id := msg.Subject()[strings.LastIndexByte(msg.Subject(), '.')+1:]
	require.NoError(t, msg.InProgress())
	event := messages.Event{Seq: 1, Action: messages.ActionSpawnComplete, HiveID: q.id, JobID: id, Terminal: true, Attempt: 1, Human: "done"}
	event.Stamp(time.Now())
	data, err := event.Encode()
	require.NoError(t, err)
	require.NoError(t, q.nc.Publish("rbee.v1.narration."+q.id+"."+id+".worker_spawn_complete", data))
	data, err = messages.Result{JobID: id, HiveID: q.id, WorkerID: "worker-1", PID: 4242, Model: "m"}.Encode()
	require.NoError(t, err)
	_, err = q.js.PublishMsg(t.Context(), &nats.Msg{Subject: "rbee.v1.result." + q.id + "." + id, Data: data}, jetstream.WithExpectLastSequencePerSubject(0))
	require.NoError(t, err)
	require.NoError(t, msg.DoubleAck(t.Context()))
	return id
}

// Everything that the queue needs works with these users, and nothing of it is refused.
func TestQueueWorksWithThesePermissions(t *testing.T) {
	t.Parallel()
	everyQueue(t, queueWorksWithThesePermissions)
}

func queueWorksWithThesePermissions(t *testing.T, srv *broker) {
	ctx := t.Context()
	boss := dial(t, srv, queen)
	client := fleet.New(boss, fleet.Config{})
	job := func(id string) messages.Job { return messages.Job{JobID: id, Model: "m", Device: "cpu"} }
	for _, id := range []string{"job-1", "job-2", "job-3"} {
		_, err := client.Enqueue(ctx, "gpu-1", job(id))
		require.NoError(t, err)
	}
	_, err := client.Cancel(ctx, "gpu-1", "job-2")
	require.NoError(t, err)

	hive := queueOf(t, srv, hive1)
	_, err = client.Pause(ctx, "gpu-1", time.Hour)
	require.NoError(t, err)
	require.NoError(t, client.Resume(ctx, "gpu-1"))
	require.Equal(t, "job-1", hive.run(t))
	var told []messages.Action
	result, err := client.Await(ctx, "gpu-1", "job-1", func(e messages.Event) { told = append(told, e.Action) })
	require.NoError(t, err)
	require.Equal(t, 4242, result.PID)
	require.Equal(t, []messages.Action{messages.ActionSpawnComplete}, told)

	msg, err := hive.consumer.Next(jetstream.FetchMaxWait(time.Minute))
	require.NoError(t, err)
	require.NoError(t, msg.NakWithDelay(time.Millisecond))
	require.Equal(t, "job-3", hive.run(t))
	results, err := hive.js.Stream(ctx, "RBEE_RESULTS")
	require.NoError(t, err)
	_, err = results.GetLastMsgForSubject(ctx, "rbee.v1.result.gpu-1.job-3")
	require.NoError(t, err)

	_, err = client.Enqueue(ctx, "gpu-1", job("job-4"))
	require.NoError(t, err)
	msg, err = hive.consumer.Next(jetstream.FetchMaxWait(time.Minute))
	require.NoError(t, err)
	require.NoError(t, msg.TermWithReason("no"))
	require.Eventually(t, func() bool {
		known, err := client.Job(ctx, "", "job-4")
		return err == nil && known.State == fleet.JobDead
	}, time.Minute, 5*time.Millisecond)
	_, err = client.Retry(ctx, "", "job-4")
	require.NoError(t, err)

	page, err := client.Jobs(ctx, fleet.JobFilter{})
	require.NoError(t, err)
	require.Len(t, page.Jobs, 5, "one that waits, one of each: dead, cancelled, done and done")
	states, err := client.StreamStates(ctx)
	require.NoError(t, err)
	require.Len(t, states, 4)
	require.False(t, refusal(t, hive.nc), "the hive")

	for _, role := range []string{queen, observer} {
		nc := dial(t, srv, role)
		history, err := fleet.New(nc, fleet.Config{}).History(ctx, fleet.Filter{Job: "job-1"}, time.Now().Add(-time.Hour))
		require.NoError(t, err)
		_, err = history.Next(ctx)
		require.NoError(t, err)
		history.Close()
		js := natstest.JetStream(t, nc)
		stream, err := js.Stream(ctx, "RBEE_RESULTS")
		require.NoError(t, err)
		_, err = stream.GetLastMsgForSubject(ctx, "rbee.v1.result.*.job-1")
		require.NoError(t, err)
		require.False(t, refusal(t, nc), role)
	}
	require.False(t, refusal(t, boss), "the queen")
}

// asking has who may ask what of JetStream. Whoever is not named is refused.
var asking = map[string][]string{
	// The queue: a hive has its own place in it, with its own jobs, and no other.
	"$JS.API.CONSUMER.CREATE.RBEE_JOBS.gpu-1.rbee.v1.job.gpu-1.*.*":     {hive1},
	"$JS.API.CONSUMER.CREATE.RBEE_JOBS.gpu-1.rbee.v1.job.gpu-2.*.*":     nil,
	"$JS.API.CONSUMER.CREATE.RBEE_JOBS.gpu-1.rbee.v1.job.>":             nil,
	"$JS.API.CONSUMER.CREATE.RBEE_JOBS.gpu-1.rbee.v1.job.*.*.*":         nil,
	"$JS.API.CONSUMER.CREATE.RBEE_JOBS.gpu-1.rbee.v1.job.gpu-1.>":       nil,
	"$JS.API.CONSUMER.CREATE.RBEE_JOBS.gpu-1":                           nil, // several filters, or none
	"$JS.API.CONSUMER.CREATE.RBEE_JOBS":                                 nil,
	"$JS.API.CONSUMER.CREATE.RBEE_JOBS.other.rbee.v1.job.gpu-1.*.*":     nil,
	"$JS.API.CONSUMER.CREATE.RBEE_JOBS.gpu-2.rbee.v1.job.gpu-1.*.*":     nil,
	"$JS.API.CONSUMER.DURABLE.CREATE.RBEE_JOBS.gpu-1":                   nil,
	"$JS.API.CONSUMER.MSG.NEXT.RBEE_JOBS.gpu-1":                         {hive1},
	"$JS.API.CONSUMER.MSG.NEXT.RBEE_JOBS.gpu-2":                         {hive2},
	"$JS.API.CONSUMER.INFO.RBEE_JOBS.gpu-1":                             {hive1, queen},
	"$JS.API.CONSUMER.INFO.RBEE_JOBS.gpu-2":                             {hive2, queen},
	"$JS.API.CONSUMER.PAUSE.RBEE_JOBS.gpu-1":                            {queen},
	"$JS.API.CONSUMER.DELETE.RBEE_JOBS.gpu-1":                           nil,
	"$JS.API.CONSUMER.UNPIN.RBEE_JOBS.gpu-1":                            nil,
	"$JS.API.CONSUMER.LIST.RBEE_JOBS":                                   nil,
	"$JS.ACK.RBEE_JOBS.gpu-1.1.1.1.1.1":                                 {hive1},
	"$JS.ACK.RBEE_JOBS.gpu-2.1.1.1.1.1":                                 {hive2},
	"$JS.ACK._.hash.RBEE_JOBS.gpu-1.1.1.1.1.1":                          {hive1},
	"$JS.ACK._.hash.RBEE_JOBS.gpu-2.1.1.1.1.1":                          {hive2},
	"$JS.ACK.RBEE_RESULTS.gpu-1.1.1.1.1.1":                              nil,
	"$JS.API.STREAM.MSG.GET.RBEE_JOBS":                                  {queen},
	"$JS.API.STREAM.MSG.DELETE.RBEE_JOBS":                               {queen},
	"$JS.API.DIRECT.GET.RBEE_JOBS":                                      nil,
	"$JS.API.DIRECT.GET.RBEE_JOBS.rbee.v1.job.gpu-1.worker_spawn.job-1": nil,
	"$JS.API.STREAM.INFO.RBEE_JOBS":                                     {queen, hive1, hive2, admin},
	"$JS.API.STREAM.PURGE.RBEE_JOBS":                                    nil,
	"$JS.API.STREAM.DELETE.RBEE_JOBS":                                   nil,
	"$JS.API.STREAM.UPDATE.RBEE_JOBS":                                   {admin},
	"$JS.API.STREAM.CREATE.RBEE_JOBS":                                   {admin},
	"$JS.API.STREAM.CREATE.OTHER":                                       nil,
	"$JS.API.STREAM.NAMES":                                              nil,
	"$JS.API.STREAM.LIST":                                               nil,
	"$JS.API.INFO":                                                      nil,

	// Results: a hive reads its own, queen and observer read all, nobody takes one away.
	"$JS.API.DIRECT.GET.RBEE_RESULTS":                               {queen, observer},
	"$JS.API.DIRECT.GET.RBEE_RESULTS.rbee.v1.result.gpu-1.job-1":    {queen, observer, hive1},
	"$JS.API.DIRECT.GET.RBEE_RESULTS.rbee.v1.result.gpu-2.job-1":    {queen, observer, hive2},
	"$JS.API.DIRECT.GET.RBEE_RESULTS.rbee.v1.result.*.job-1":        {queen, observer},
	"$JS.API.CONSUMER.CREATE.RBEE_RESULTS":                          nil, // a consumer repeats what it reads anywhere, and without a mark
	"$JS.API.CONSUMER.CREATE.RBEE_RESULTS.x":                        nil,
	"$JS.API.CONSUMER.CREATE.RBEE_RESULTS.x.rbee.v1.result.gpu-1.*": nil,
	"$JS.API.CONSUMER.DURABLE.CREATE.RBEE_RESULTS.x":                nil,
	"$JS.API.CONSUMER.MSG.NEXT.RBEE_RESULTS.x":                      nil,
	"$JS.API.STREAM.MSG.GET.RBEE_RESULTS":                           nil,
	"$JS.API.STREAM.MSG.DELETE.RBEE_RESULTS":                        nil,
	"$JS.API.STREAM.PURGE.RBEE_RESULTS":                             nil,
	"$JS.API.STREAM.INFO.RBEE_RESULTS":                              {queen, observer, hive1, hive2, admin},
	"$JS.API.STREAM.UPDATE.RBEE_RESULTS":                            {admin},

	// Narration, and the dead.
	"$JS.API.DIRECT.GET.RBEE_NARRATION":                                {queen, observer},
	"$JS.API.DIRECT.GET.RBEE_NARRATION.rbee.v1.narration.*.job-1.*":    {queen, observer},
	"$JS.API.CONSUMER.CREATE.RBEE_NARRATION.x.rbee.v1.narration.*.*.*": nil,
	"$JS.API.CONSUMER.MSG.NEXT.RBEE_NARRATION.x":                       nil,
	"$JS.API.CONSUMER.CREATE.RBEE_DEAD.x.rbee.v1.trace.>":              nil, // the queen writes it: she must not have it repeated
	"$JS.API.DIRECT.GET.RBEE_DEAD":                                     nil,
	"$JS.API.STREAM.MSG.GET.RBEE_DEAD":                                 {queen},
	"$JS.API.STREAM.MSG.DELETE.RBEE_DEAD":                              nil,
	"$JS.API.STREAM.MSG.DELETE.RBEE_NARRATION":                         nil,
	"$JS.API.STREAM.INFO.RBEE_DEAD":                                    {queen, admin},
}

func TestWhoMayAskWhatOfJetStream(t *testing.T) {
	t.Parallel()
	everyQueue(t, whoMayAskWhatOfJetStream)
}

func whoMayAskWhatOfJetStream(t *testing.T, srv *broker) {
	for subject, may := range asking {
		for _, role := range roles {
			nc := dial(t, srv, role)
			require.NoError(t, nc.PublishRequest(subject, nc.NewInbox(), nil))
			require.Equal(t, !slices.Contains(may, role), refusal(t, nc), "%s asks %s", role, subject)
			nc.Close()
		}
	}
}

// A filter in the payload cannot say more than the one in the subject.
func TestHiveCannotWidenItsFilter(t *testing.T) {
	t.Parallel()
	everyQueue(t, hiveCannotWidenItsFilter)
}

func hiveCannotWidenItsFilter(t *testing.T, srv *broker) {
	hive := dial(t, srv, hive1)
	create := func(subject string, cfg jetstream.ConsumerConfig) (*nats.Msg, error) {
		request, err := json.Marshal(map[string]any{"stream_name": "RBEE_JOBS", "config": cfg})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return hive.RequestWithContext(ctx, subject, request)
	}
	const own = "$JS.API.CONSUMER.CREATE.RBEE_JOBS.gpu-1.rbee.v1.job.gpu-1.*.*"
	for _, cfg := range []jetstream.ConsumerConfig{
		{Durable: "gpu-1", Name: "gpu-1", FilterSubject: "rbee.v1.job.>", AckPolicy: jetstream.AckExplicitPolicy},
		{Durable: "gpu-1", Name: "gpu-1", FilterSubject: "rbee.v1.job.gpu-2.*.*", AckPolicy: jetstream.AckExplicitPolicy},
		{Durable: "gpu-1", Name: "gpu-1", FilterSubjects: []string{"rbee.v1.job.gpu-1.*.*", "rbee.v1.job.gpu-2.*.*"}, AckPolicy: jetstream.AckExplicitPolicy},
		{Durable: "gpu-2", Name: "gpu-2", FilterSubject: "rbee.v1.job.gpu-1.*.*", AckPolicy: jetstream.AckExplicitPolicy},
	} {
		answer, err := create(own, cfg)
		require.NoError(t, err)
		require.Contains(t, string(answer.Data), `"error"`, "%+v", cfg)
	}
	answer, err := create(own, jetstream.ConsumerConfig{Durable: "gpu-1", Name: "gpu-1", FilterSubject: "rbee.v1.job.gpu-1.*.*", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	require.NotContains(t, string(answer.Data), `"error"`)

	// And it gets its own jobs alone.
	client := fleet.New(dial(t, srv, queen), fleet.Config{})
	for _, id := range []string{"gpu-2", "gpu-1"} {
		_, err := client.Enqueue(t.Context(), id, messages.Job{JobID: "job-of-" + id, Model: "m", Device: "cpu"})
		require.NoError(t, err)
	}
	mine := queueOf(t, srv, hive1)
	require.Equal(t, "job-of-gpu-1", mine.run(t))
	_, err = mine.consumer.Next(jetstream.FetchMaxWait(50 * time.Millisecond))
	require.True(t, errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages), "%v", err)
}

// Who may read a stream may have the server send what is read anywhere, and so can a hive with what it published itself. The server adds
// where it is from, and by that it is known: nobody takes it for the word of another.
func TestWhatIsRepeatedOutOfAStreamSaysSo(t *testing.T) {
	t.Parallel()
	everyQueue(t, whatIsRepeatedOutOfAStreamSaysSo)
}

func whatIsRepeatedOutOfAStreamSaysSo(t *testing.T, srv *broker) {
	hive := queueOf(t, srv, hive1)
	other := listen(t, dial(t, srv, hive2), "rbee.v1.hive.gpu-2.* gpu-2")
	boss := listen(t, dial(t, srv, queen), "rbee.v1.result.gpu-2.>", "rbee.v1.narration.gpu-2.>")
	forged := nats.NewMsg("rbee.v1.result.gpu-1.job-1")
	forged.Data = []byte(`{"model":"m","device":"cpu"}`)
	forged.Header.Set("Nats-Stream", "") // an attempt to be taken for one that is not
	_, err := hive.js.PublishMsg(t.Context(), forged)
	require.NoError(t, err)
	forged.Subject = "rbee.v1.narration.gpu-1.job-1.worker_spawned"
	_, err = hive.js.PublishMsg(t.Context(), forged)
	require.NoError(t, err)

	// All that each of them may ask a stream for.
	const last, batch = `{"last_by_subj":"%s"}`, `{"next_by_subj":"%s","seq":1,"batch":1}`
	result, event := "rbee.v1.result.gpu-1.job-1", "rbee.v1.narration.gpu-1.job-1.worker_spawned"
	ways := map[string][][2]string{hive1: {{"DIRECT.GET.RBEE_RESULTS." + result, ""}}}
	for _, reader := range []string{observer, queen} {
		for stream, subject := range map[string]string{"RBEE_RESULTS": result, "RBEE_NARRATION": event} {
			ways[reader] = append(ways[reader], [][2]string{
				{"DIRECT.GET." + stream + "." + subject, ""},
				{"DIRECT.GET." + stream, fmt.Sprintf(last, subject)},
				{"DIRECT.GET." + stream, fmt.Sprintf(batch, subject)},
			}...)
		}
	}
	targets := map[string]*witness{
		"rbee.v1.hive.gpu-2.worker_spawn": other, "rbee.v1.result.gpu-2.job-1": boss, "rbee.v1.narration.gpu-2.job-1.worker_spawned": boss,
	}
	for asker, questions := range ways {
		nc := dial(t, srv, asker)
		for _, question := range questions {
			for target, w := range targets {
				require.NoError(t, nc.PublishRequest("$JS.API."+question[0], target, []byte(question[1])))
				for msg := (&nats.Msg{}); string(msg.Data) != string(forged.Data); { // behind a batch the server says that it is over
					msg = w.next(t)
					require.True(t, len(msg.Data) == 0 || slices.Contains(msg.Header["Nats-Stream"], strings.Split(question[0], ".")[2]),
						"%s asks %s, and %s hears %v", asker, question[0], target, msg.Header)
				}
			}
		}
		require.False(t, refusal(t, nc), asker)
	}
}
