package queen_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// queue starts a server with the streams of a fleet and returns its URL and a client.
func queue(t testing.TB, cfg queen.StreamsConfig) (url string, client *queen.Client) {
	t.Helper()
	url = natstest.Server(t).URL()
	client, _ = connect(t, url)
	_, err := client.Apply(t.Context(), cfg, false)
	require.NoError(t, err)
	return url, client
}

// puller plays a hive that takes jobs from the queue, one at a time, when a test says so.
type puller struct {
	*hive
	js       jetstream.JetStream
	consumer jetstream.Consumer
}

// pull makes the durable consumer of a hive.
func pull(tb testing.TB, url, id string, cfg jetstream.ConsumerConfig) *puller {
	tb.Helper()
	p := &puller{hive: &hive{tb: tb, nc: natstest.Dial(tb, url), id: id}}
	var err error
	p.js = natstest.JetStream(tb, p.nc)
	streams := p.subjects.Streams()
	cfg.Durable, cfg.FilterSubject, cfg.AckPolicy = streams.Consumer(id), streams.HiveJobs(id), jetstream.AckExplicitPolicy
	p.consumer, err = p.js.CreateOrUpdateConsumer(tb.Context(), streams.Jobs, cfg)
	require.NoError(tb, err)
	return p
}

// take takes the next job.
func (p *puller) take(ctx context.Context) (jetstream.Msg, messages.Job) {
	p.tb.Helper()
	msg, err := p.consumer.Next(jetstream.FetchContext(ctx))
	require.NoError(p.tb, err)
	var job messages.Job
	require.NoError(p.tb, json.Unmarshal(msg.Data(), &job))
	return msg, job
}

// conclude publishes the outcome of a job and then says that it is done.
func (p *puller) conclude(ctx context.Context, msg jetstream.Msg, job messages.Job, body interface{ Encode() ([]byte, error) }) {
	p.tb.Helper()
	data, err := body.Encode()
	require.NoError(p.tb, err)
	_, err = p.js.Publish(ctx, p.subjects.Result(p.id, job.JobID), data)
	require.NoError(p.tb, err)
	require.NoError(p.tb, msg.DoubleAck(ctx))
}

// run takes the next job and succeeds with it.
func (p *puller) run(ctx context.Context) messages.Job {
	p.tb.Helper()
	msg, job := p.take(ctx)
	p.narrate(job, 1, messages.ActionSpawnStart)
	p.narrate(job, 2, messages.ActionSpawned)
	p.narrate(job, 3, messages.ActionSpawnComplete)
	p.conclude(ctx, msg, job, success(p.id, job))
	return job
}

func success(hive string, job messages.Job) messages.Result {
	return messages.Result{JobID: job.JobID, HiveID: hive, WorkerID: "worker-1", PID: 12345, Port: 9001, Device: job.Device, Model: job.Model}
}

func failure(hive string, job messages.Job, code messages.Code) messages.Failure {
	return messages.Failure{JobID: job.JobID, HiveID: hive, Err: messages.Errorf(code, "no")}
}

// states returns the state of each listed job.
func states(jobs []queen.QueuedJob) map[string]queen.JobState {
	got := map[string]queen.JobState{}
	for _, job := range jobs {
		got[job.JobID] = job.State
	}
	return got
}

func named(id string) messages.Job {
	j := job()
	j.JobID = id
	return j
}

// told collects events.
type told struct{ actions []messages.Action }

func (s *told) narrate(e messages.Event) { s.actions = append(s.actions, e.Action) }

var wholeStory = []messages.Action{messages.ActionSpawnStart, messages.ActionSpawned, messages.ActionSpawnComplete}

func TestEnqueuedJobRunsAndIsAwaited(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})

	// Nobody is there: the job waits all the same.
	receipt, err := client.Enqueue(ctx, "gpu-1", job())
	require.NoError(t, err)
	require.NotEmpty(t, receipt.JobID)
	require.Equal(t, queen.Receipt{HiveID: "gpu-1", JobID: receipt.JobID, Operation: messages.WorkerSpawn, Sequence: 1}, receipt)

	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	var hives sync.WaitGroup
	hives.Go(func() { hive.run(ctx) })
	var story told
	result, err := client.Await(ctx, "gpu-1", receipt.JobID, story.narrate)
	hives.Wait()
	require.NoError(t, err)
	require.Equal(t, receipt.JobID, result.JobID)
	require.Equal(t, 12345, result.PID)
	require.Equal(t, wholeStory, story.actions)

	// Another queen, long afterwards.
	later, _ := connect(t, url)
	story = told{}
	again, err := later.Await(ctx, "gpu-1", receipt.JobID, story.narrate)
	require.NoError(t, err)
	require.Equal(t, result, again)
	require.Equal(t, wholeStory, story.actions)

	known, err := later.Job(ctx, "", receipt.JobID)
	require.NoError(t, err)
	require.Equal(t, queen.JobDone, known.State)
	require.Equal(t, "gpu-1", known.HiveID)
	require.Equal(t, messages.WorkerSpawn, known.Operation)
	require.NotZero(t, known.QueuedAt)
	require.NotZero(t, known.EndedAt)
	require.Contains(t, string(known.Job), `"model":"meta-llama/Llama-3-8b"`)
	require.Contains(t, string(known.Answer), `"pid":12345`)
	events, err := later.Story(ctx, "", receipt.JobID)
	require.NoError(t, err)
	require.Len(t, events, 3)
}

func TestAwaitReturnsTheFailure(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	_, err := client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.NoError(t, err)
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	msg, job := hive.take(ctx)
	hive.conclude(ctx, msg, job, failure("gpu-1", job, messages.DeviceNotFound))

	result, err := client.Await(ctx, "gpu-1", "job-1", nil)
	require.ErrorIs(t, err, messages.DeviceNotFound)
	require.Equal(t, messages.Result{JobID: "job-1", HiveID: "gpu-1"}, result)
	known, err := client.Job(ctx, "gpu-1", "job-1")
	require.NoError(t, err)
	require.Equal(t, queen.JobFailed, known.State)
}

func TestAwaitEndsWithItsContextAndTheJobStays(t *testing.T) {
	t.Parallel()
	url, client := queue(t, queen.StreamsConfig{})
	_, err := client.Enqueue(patient(t), "gpu-1", named("job-1"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Await(ctx, "gpu-1", "job-1", nil)
	var pending *queen.PendingError
	require.ErrorAs(t, err, &pending)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "stays in the queue")
	require.Equal(t, "job-1", pull(t, url, "gpu-1", jetstream.ConsumerConfig{}).run(patient(t)).JobID)
}

func TestAwaitDoesNotWaitForAJobThatNobodyQueued(t *testing.T) {
	t.Parallel()
	_, client := queue(t, queen.StreamsConfig{})
	_, err := client.Await(patient(t), "gpu-1", "job-1", nil)
	var unknown *queen.JobNotFoundError
	require.ErrorAs(t, err, &unknown)
}

// The server goes away with a job in the queue and comes back; the queen that waits for the job notices nothing.
func TestAwaitSurvivesTheServer(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	dir, port := filepath.Join(t.TempDir(), "store"), porttest.One(t)
	srv := natstest.Start(t, natsd.Config{StoreDir: dir, Port: port})
	url := srv.URL()
	client, nc := connect(t, url, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	_, err := client.Apply(ctx, queen.StreamsConfig{}, false)
	require.NoError(t, err)
	_, err = client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.NoError(t, err)
	var story told
	awaited := make(chan error, 1)
	go func() {
		_, err := client.Await(ctx, "gpu-1", "job-1", story.narrate)
		awaited <- err
	}()
	srv.Shutdown()
	require.Eventually(t, func() bool { return !nc.IsConnected() }, patience, time.Millisecond)
	natstest.Start(t, natsd.Config{StoreDir: dir, Port: port})
	natstest.Stream(t, natstest.JetStream(t, nc), "RBEE_JOBS")
	pull(t, url, "gpu-1", jetstream.ConsumerConfig{}).run(ctx)
	require.NoError(t, <-awaited)
	require.Equal(t, wholeStory, story.actions)
}

func TestEnqueueRefuses(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{MaxJobs: 2})
	var duplicate *queen.DuplicateError

	_, err := client.Enqueue(ctx, "gpu-1", messages.Job{Device: "cpu"})
	require.ErrorIs(t, err, messages.InvalidJob)
	_, err = client.Enqueue(ctx, "gpu.1", job())
	require.ErrorIs(t, err, messages.InvalidJob)

	_, err = client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.NoError(t, err)
	_, err = client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.ErrorAs(t, err, &duplicate)
	require.Equal(t, queen.JobWaiting, duplicate.Job.State)

	// The same id is another job for another hive.
	_, err = client.Enqueue(ctx, "gpu-2", named("job-1"))
	require.NoError(t, err)

	_, err = client.Enqueue(ctx, "gpu-1", named("job-3"))
	var full *queen.QueueFullError
	require.ErrorAs(t, err, &full)
	require.ErrorContains(t, err, "RBEE_JOBS is full")

	// One that has run is a duplicate, too.
	pull(t, url, "gpu-1", jetstream.ConsumerConfig{}).run(ctx)
	_, err = client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.ErrorAs(t, err, &duplicate)
	require.Equal(t, queen.JobDone, duplicate.Job.State)
}

// Without a message id the server still refuses a second job of the same id while the first waits.
func TestEnqueueSeesTheJobOfAnotherPublisher(t *testing.T) {
	t.Parallel()
	url, client := queue(t, queen.StreamsConfig{})
	nc := natstest.Dial(t, url)
	_, err := nc.Request("rbee.v1.job.gpu-1.worker_spawn.job-1", []byte(`{"model":"m","device":"cpu","job_id":"job-1"}`), patience)
	require.NoError(t, err)
	_, err = client.Enqueue(patient(t), "gpu-1", named("job-1"))
	var duplicate *queen.DuplicateError
	require.ErrorAs(t, err, &duplicate)
}

func TestEnqueueWithoutStreamsSaysWhatToDo(t *testing.T) {
	t.Parallel()
	client, _ := connect(t, natstest.Server(t).URL())
	_, err := client.Enqueue(patient(t), "gpu-1", job())
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	require.ErrorContains(t, err, "rbee streams apply")
	_, err = client.Jobs(patient(t), queen.JobFilter{})
	require.ErrorContains(t, err, "rbee streams apply")
}

// A job stays a minute beyond its deadline, so that a hive that comes late refuses it with a result.
func TestDeadlineBoundsTheStayInTheQueue(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	late := named("job-1")
	late.Deadline = time.Now().Add(10 * time.Minute)
	_, err := client.Enqueue(ctx, "gpu-1", late)
	require.NoError(t, err)
	_, err = client.Enqueue(ctx, "gpu-1", named("job-2"))
	require.NoError(t, err)

	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	msg, _ := hive.take(ctx)
	ttl, err := time.ParseDuration(msg.Headers().Get("Nats-TTL"))
	require.NoError(t, err)
	require.InDelta(t, (11 * time.Minute).Seconds(), ttl.Seconds(), 2)
	msg, other := hive.take(ctx)
	require.Empty(t, msg.Headers().Get("Nats-TTL"))
	require.Zero(t, other.Deadline, "how long the queen waits is none of the job's")
}

// A job that left the queue by its age or its deadline leaves a trace, and whoever waits for it is told.
func TestExpiredJobLeavesATrace(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	old := named("job-1")
	old.Deadline = time.Now().Add(-time.Hour)
	receipt, err := client.Enqueue(ctx, "gpu-1", old)
	require.NoError(t, err)
	remove(t, url, receipt.Sequence) // what the server does a minute later

	known, err := client.Job(ctx, "", "job-1")
	require.NoError(t, err)
	require.Equal(t, queen.JobExpired, known.State)
	_, err = client.Await(ctx, "gpu-1", "job-1", nil)
	var ended *queen.EndedError
	require.ErrorAs(t, err, &ended)
	require.ErrorContains(t, err, "has expired")
}

func TestJobRemovedByHandIsGone(t *testing.T) {
	t.Parallel()
	url, client := queue(t, queen.StreamsConfig{})
	receipt, err := client.Enqueue(patient(t), "gpu-1", named("job-1"))
	require.NoError(t, err)
	remove(t, url, receipt.Sequence)
	known, err := client.Job(patient(t), "", "job-1")
	require.NoError(t, err)
	require.Equal(t, queen.JobGone, known.State)
}

func remove(t *testing.T, url string, seq uint64) {
	t.Helper()
	js := natstest.JetStream(t, natstest.Dial(t, url))
	stream, err := js.Stream(t.Context(), "RBEE_JOBS")
	require.NoError(t, err)
	require.NoError(t, stream.DeleteMsg(t.Context(), seq))
}

func TestJobsListsEveryStateAcrossPages(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	for i := range 5 {
		_, err := client.Enqueue(ctx, "gpu-1", named(fmt.Sprintf("job-%d", i)))
		require.NoError(t, err)
	}
	_, err := client.Enqueue(ctx, "gpu-2", named("job-0"))
	require.NoError(t, err)
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	require.Equal(t, "job-0", hive.run(ctx).JobID)
	msg, job := hive.take(ctx)
	hive.conclude(ctx, msg, job, failure("gpu-1", job, messages.PortInUse))
	hive.take(ctx) // and keeps it

	want := []string{"gpu-1/job-2/running", "gpu-1/job-3/waiting", "gpu-1/job-4/waiting", "gpu-2/job-0/waiting", "gpu-1/job-1/failed", "gpu-1/job-0/done"}
	for _, limit := range []int{0, 1, 2, 4, 6} {
		var got []string
		filter := queen.JobFilter{Limit: limit}
		for {
			page, err := client.Jobs(ctx, filter)
			require.NoError(t, err)
			if limit > 0 {
				require.LessOrEqual(t, len(page.Jobs), limit)
			}
			for _, j := range page.Jobs {
				got = append(got, fmt.Sprintf("%s/%s/%s", j.HiveID, j.JobID, j.State))
			}
			if filter.After = page.Next; page.Next == "" {
				break
			}
		}
		require.Equal(t, want, got, "pages of %d", limit)
	}

	page, err := client.Jobs(ctx, queen.JobFilter{Hive: "gpu-2"})
	require.NoError(t, err)
	require.Equal(t, map[string]queen.JobState{"job-0": queen.JobWaiting}, states(page.Jobs))
	page, err = client.Jobs(ctx, queen.JobFilter{State: queen.JobFailed})
	require.NoError(t, err)
	require.Equal(t, map[string]queen.JobState{"job-1": queen.JobFailed}, states(page.Jobs))
	for _, filter := range []queen.JobFilter{{Hive: "a.b"}, {State: "asleep"}, {Limit: -1}, {Limit: 1001}, {After: "yesterday"}} {
		_, err = client.Jobs(ctx, filter)
		require.ErrorIs(t, err, messages.InvalidJob, "%+v", filter)
	}
}

// die has a hive be given its next job as often as may be, and waits until the server gives the job up.
func die(t *testing.T, url string, client *queen.Client, id string) *puller {
	t.Helper()
	ctx := patient(t)
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{MaxDeliver: 2, AckWait: patience})
	for range 2 {
		msg, _ := hive.take(ctx)
		require.NoError(t, msg.Nak())
	}
	require.Eventually(t, func() bool {
		// The server notices when the hive asks for more.
		_, err := hive.consumer.Next(jetstream.FetchMaxWait(50 * time.Millisecond))
		require.True(t, errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages), "%v", err)
		job, err := client.Job(ctx, "gpu-1", id)
		require.NoError(t, err)
		return job.State == queen.JobDead
	}, patience, 10*time.Millisecond)
	return hive
}

func TestDeadJobIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	_, err := client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.NoError(t, err)
	hive := die(t, url, client, "job-1")

	page, err := client.Jobs(ctx, queen.JobFilter{State: queen.JobDead})
	require.NoError(t, err)
	require.Len(t, page.Jobs, 1)
	require.Equal(t, 2, page.Jobs[0].Attempts)
	_, err = client.Await(ctx, "gpu-1", "job-1", nil)
	require.ErrorContains(t, err, "job job-1 is dead: hive gpu-1 was given it 2 times")

	receipt, err := client.Retry(ctx, "", "job-1")
	require.NoError(t, err)
	require.NotEqual(t, "job-1", receipt.JobID)
	_, again := hive.take(ctx)
	require.Equal(t, receipt.JobID, again.JobID)
	require.True(t, again.SameSpec(job()))

	// The dead one is out of the way and still known.
	page, err = client.Jobs(ctx, queen.JobFilter{})
	require.NoError(t, err)
	require.Equal(t, map[string]queen.JobState{receipt.JobID: queen.JobRunning, "job-1": queen.JobDead}, states(page.Jobs))
	place, err := client.HiveQueue(ctx, "gpu-1")
	require.NoError(t, err)
	require.Equal(t, queen.HiveQueue{InHand: 1}, place)
	known, err := client.Job(ctx, "gpu-1", "job-1")
	require.NoError(t, err)
	require.Equal(t, queen.JobDead, known.State)
	require.Equal(t, 2, known.Attempts)
}

func TestJobThatItsHiveGaveUpSaysWhy(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	_, err := client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.NoError(t, err)
	msg, _ := pull(t, url, "gpu-1", jetstream.ConsumerConfig{}).take(ctx)
	require.NoError(t, msg.TermWithReason("cannot be read"))
	var known queen.QueuedJob
	require.Eventually(t, func() bool {
		known, err = client.Job(ctx, "", "job-1")
		require.NoError(t, err)
		return known.State == queen.JobDead
	}, patience, 5*time.Millisecond)
	require.Equal(t, "cannot be read", known.Reason)
	_, err = client.Await(ctx, "gpu-1", "job-1", nil)
	require.ErrorContains(t, err, "hive gpu-1 gave it up: cannot be read")
}

func TestRetryOfAFailedJobKeepsItsSpec(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	spec := named("job-1")
	spec.Worker, spec.Version, spec.Wait, spec.Deadline = "vllm", "1.2.3", messages.WaitReady, time.Now().Add(-time.Minute)
	_, err := client.Enqueue(ctx, "gpu-1", spec)
	require.NoError(t, err)
	_, err = client.Retry(ctx, "gpu-1", "job-1")
	var no *queen.NoRetryError
	require.ErrorAs(t, err, &no)
	require.ErrorContains(t, err, "it is waiting; wait for it")

	msg, failed := hive.take(ctx)
	hive.conclude(ctx, msg, failed, failure("gpu-1", failed, messages.DeadlineExceeded))
	_, err = client.Retry(ctx, "gpu-1", "job-1")
	require.NoError(t, err)
	msg, again := hive.take(ctx)
	require.True(t, again.SameSpec(spec))
	require.Equal(t, messages.WaitReady, again.Wait)
	require.Zero(t, again.Deadline, "it had passed when the job was queued, so that no time can be made of it")
	hive.conclude(ctx, msg, again, success("gpu-1", again))
	_, err = client.Retry(ctx, "gpu-1", again.JobID)
	require.ErrorContains(t, err, "it is done")

	// A job that came by request left a result and nothing else.
	data, err := failure("gpu-1", named("asked"), messages.PortInUse).Encode()
	require.NoError(t, err)
	_, err = hive.js.Publish(ctx, "rbee.v1.result.gpu-1.asked", data)
	require.NoError(t, err)
	_, err = client.Retry(ctx, "", "asked")
	require.ErrorAs(t, err, &no)
	require.True(t, no.Unknown)
}

func TestCancelledJobNeverRuns(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	for _, id := range []string{"job-1", "job-2", "job-3"} {
		_, err := client.Enqueue(ctx, "gpu-1", named(id))
		require.NoError(t, err)
	}
	awaited := make(chan error, 1)
	go func() {
		_, err := client.Await(ctx, "gpu-1", "job-2", nil)
		awaited <- err
	}()
	cancelled, err := client.Cancel(ctx, "", "job-2")
	require.NoError(t, err)
	require.Equal(t, queen.JobCancelled, cancelled.State)
	require.ErrorContains(t, <-awaited, "was cancelled before hive gpu-1 saw it")

	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	require.Equal(t, "job-1", hive.run(ctx).JobID)
	_, last := hive.take(ctx)
	require.Equal(t, "job-3", last.JobID)

	var late *queen.TooLateError
	_, err = client.Cancel(ctx, "gpu-1", "job-3")
	require.ErrorAs(t, err, &late)
	require.ErrorContains(t, err, "hive gpu-1 has it already")
	require.ErrorContains(t, err, "rbee workers rm")
	_, err = client.Cancel(ctx, "gpu-1", "job-1")
	require.ErrorContains(t, err, "it is done")
	_, err = client.Cancel(ctx, "gpu-1", "job-2")
	require.ErrorContains(t, err, "it is cancelled already")
	_, err = client.Cancel(ctx, "gpu-1", "job-9")
	var unknown *queen.JobNotFoundError
	require.ErrorAs(t, err, &unknown)

	// It can be tried again.
	receipt, err := client.Retry(ctx, "gpu-1", "job-2")
	require.NoError(t, err)
	_, again := hive.take(ctx)
	require.Equal(t, receipt.JobID, again.JobID)
}

// While a hive takes jobs as fast as it can, each is cancelled: what was said to be cancelled was never taken.
func TestCancelAgainstTheHive(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	const n = 200
	for i := range n {
		_, err := client.Enqueue(ctx, "gpu-1", named(fmt.Sprintf("job-%d", i)))
		require.NoError(t, err)
	}
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	var (
		taken   = map[string]bool{}
		working sync.WaitGroup
		over    = make(chan struct{})
	)
	working.Go(func() {
		for {
			msg, err := hive.consumer.Next(jetstream.FetchMaxWait(20 * time.Millisecond))
			if err != nil {
				select {
				case <-over:
					return
				default:
					continue
				}
			}
			var job messages.Job
			if json.Unmarshal(msg.Data(), &job) == nil {
				taken[job.JobID] = true
			}
			_ = msg.Ack()
		}
	})
	var cancelled []string
	unsure := 0
	for i := n - 1; i >= 0; i-- {
		job, err := client.Cancel(ctx, "gpu-1", fmt.Sprintf("job-%d", i))
		if err == nil {
			cancelled = append(cancelled, job.JobID)
			continue
		}
		late, isLate := errors.AsType[*queen.TooLateError](err)
		require.True(t, isLate, "%v", err)
		if late.Unsure {
			unsure++
		}
	}
	close(over)
	working.Wait()
	require.NotEmpty(t, cancelled)
	for _, id := range cancelled {
		require.False(t, taken[id], "%s was said to be cancelled and was taken", id)
	}
	require.GreaterOrEqual(t, len(taken)+len(cancelled)+unsure, n)
}

func TestPausedHiveGetsNothingUntilItIsResumed(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	var none *queen.NoQueueError
	require.ErrorAs(t, client.Resume(ctx, "gpu-1"), &none)

	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	until, err := client.Pause(ctx, "gpu-1", time.Hour)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), until, time.Minute)
	_, err = client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.NoError(t, err)
	_, err = hive.consumer.Next(jetstream.FetchMaxWait(100 * time.Millisecond))
	require.Error(t, err)
	known, err := client.Job(ctx, "gpu-1", "job-1")
	require.NoError(t, err)
	require.Equal(t, queen.JobWaiting, known.State)
	place, err := client.HiveQueue(ctx, "gpu-1")
	require.NoError(t, err)
	require.Equal(t, uint64(1), place.Waiting)
	require.WithinDuration(t, until, place.PausedUntil, time.Millisecond)

	require.NoError(t, client.Resume(ctx, "gpu-1"))
	place, err = client.HiveQueue(ctx, "gpu-1")
	require.NoError(t, err)
	require.Zero(t, place.PausedUntil)
	_, err = client.HiveQueue(ctx, "gpu-9")
	require.ErrorAs(t, err, &none)
	require.NoError(t, client.Resume(ctx, "gpu-1"))
	require.Equal(t, "job-1", hive.run(ctx).JobID)
	_, err = client.Pause(ctx, "gpu-1", -time.Second)
	require.ErrorIs(t, err, messages.InvalidJob)
}

// History tells what was, then what is, each once.
func TestHistoryGoesOverIntoThePresent(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	const half = 500
	tell := func(from int) {
		for i := from; i < from+half; i++ {
			hive.narrate(named("job-1"), i, messages.ActionLoading)
		}
		require.NoError(t, hive.nc.Flush())
	}
	tell(1)
	require.NoError(t, hive.nc.Publish("rbee.v1.narration.gpu-1.job-1.noise", []byte("{}")))
	before, err := client.History(ctx, queen.Filter{Job: "job-1"}, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	defer before.Close()
	var telling sync.WaitGroup
	telling.Go(func() { tell(half + 1) })
	for want := 1; want <= 2*half; want++ {
		event, err := before.Next(ctx)
		require.NoError(t, err)
		require.Equal(t, want, event.Seq)
	}
	telling.Wait()
	require.Equal(t, 1, before.Skipped())

	// From now on nothing of the past, and of another job nothing at all.
	after, err := client.History(ctx, queen.Filter{Hive: "gpu-1"}, time.Now().Add(time.Hour))
	require.NoError(t, err)
	defer after.Close()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	for e, err := range after.Events(short) {
		t.Error("an event of the past", e.Action, err)
	}
	_, err = client.History(ctx, queen.Filter{Hive: "a.b"}, time.Time{})
	require.ErrorIs(t, err, messages.InvalidJob)
}

// A failure that may pass is no outcome while the job is still in the queue.
func TestPassingFailureIsNoOutcomeOfAQueuedJob(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	_, err := client.Enqueue(ctx, "gpu-1", named("job-1"))
	require.NoError(t, err)
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	msg, job := hive.take(ctx)
	busy := failure("gpu-1", job, messages.HiveBusy)
	busy.Err.Retryable = true
	data, err := busy.Encode()
	require.NoError(t, err)
	_, err = hive.js.Publish(ctx, "rbee.v1.result.gpu-1.job-1", data)
	require.NoError(t, err)
	known, err := client.Job(ctx, "gpu-1", "job-1")
	require.NoError(t, err)
	require.Equal(t, queen.JobRunning, known.State)

	awaited := make(chan error, 1)
	go func() {
		_, err := client.Await(ctx, "gpu-1", "job-1", nil)
		awaited <- err
	}()
	require.NoError(t, hive.nc.Publish("rbee.v1.result.gpu-1.job-1", data)) // heard by who waits, and no end
	require.NoError(t, msg.Nak())
	msg, job = hive.take(ctx)
	hive.conclude(ctx, msg, job, success("gpu-1", job))
	require.NoError(t, <-awaited)

	// Where the attempts are over, it is one.
	_, err = client.Enqueue(ctx, "gpu-1", named("job-2"))
	require.NoError(t, err)
	msg, job = hive.take(ctx)
	busy.JobID = "job-2"
	hive.conclude(ctx, msg, job, busy)
	_, err = client.Await(ctx, "gpu-1", "job-2", nil)
	require.ErrorIs(t, err, messages.HiveBusy)
}

// What the server repeats out of a stream, on a subject that its asker chose, is nobody's word.
func TestRepeatedMessagesAreNobodysWord(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	_, err := client.Enqueue(ctx, "gpu-2", named("job-2"))
	require.NoError(t, err)
	liar := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})
	forged, err := success("gpu-2", named("job-2")).Encode()
	require.NoError(t, err)
	_, err = liar.js.Publish(ctx, "rbee.v1.result.gpu-1.job-1", forged)
	require.NoError(t, err)
	require.NoError(t, liar.nc.PublishRequest("$JS.API.DIRECT.GET.RBEE_RESULTS.rbee.v1.result.gpu-1.job-1", "rbee.v1.result.gpu-2.job-2", nil))
	require.Eventually(t, func() bool {
		known, err := client.Job(ctx, "gpu-2", "job-2")
		require.NoError(t, err)
		require.Nil(t, known.Answer)
		return known.Reason != ""
	}, patience, time.Millisecond)
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = client.Await(short, "gpu-2", "job-2", nil)
	require.Error(t, err)
}
