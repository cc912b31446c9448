package consumer_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// once is a spawner that starts one worker for each job, as the real one does: whoever asks again gets the same answer.
type once struct {
	noWorkers
	mu      sync.Mutex
	started map[string]chan struct{} // closed when the worker runs
	starts  int
	start   func() // what a start takes
}

func newOnce(start func()) *once { return &once{started: make(map[string]chan struct{}), start: start} }

func (o *once) Spawn(_ context.Context, job messages.Job, emit func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
	o.mu.Lock()
	running, again := o.started[job.JobID]
	if !again {
		running = make(chan struct{})
		o.started[job.JobID] = running
		o.starts++
	}
	o.mu.Unlock()
	result := resultOf(job)
	if !again {
		o.start()
		close(running)
		return result, nil
	}
	<-running
	emit(messages.Event{Action: messages.ActionSpawnReplayed, Attempt: 2, Human: "again"})
	result.Replayed = true
	return result, nil
}

func TestAJobThatIsQueuedTwiceRunsOnce(t *testing.T) {
	t.Parallel()
	for name, spawner := range map[string]spawnFunc{
		"success": spawned,
		"failure": func(context.Context, messages.Job, func(messages.Event), consumer.Waiting) (messages.Result, error) {
			return messages.Result{}, messages.Errorf(messages.WorkerExited, "it ended")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, natstest.Server(t).URL())
			arrived := make(chan string, 16)
			f.keeper(spawnFunc(func(ctx context.Context, job messages.Job, emit func(messages.Event), waiting consumer.Waiting) (messages.Result, error) {
				arrived <- job.JobID
				return spawner(ctx, job, emit, waiting)
			}), consumer.Config{})
			f.queue("job-1", llama)
			first := f.result("job-1")
			f.awaitEmpty()
			f.queue("job-1", llama)
			f.awaitEmpty()
			require.Equal(t, first.Sequence, f.result("job-1").Sequence, "nothing was published twice")
			require.Len(t, arrived, 1)

			events := f.story("job-1", 2)[1:]
			require.Len(t, events, 2)
			require.Equal(t, messages.ActionSpawnReplayed, events[0].Action)
			require.Equal(t, []int{1, 2, 2, 2}, []int{events[0].Seq, events[0].Attempt, events[1].Seq, events[1].Attempt})
		})
	}
}

func TestAJobByRequestAndByQueueAtOnceRunsOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	begun, open := make(chan struct{}), make(chan struct{})
	o := newOnce(func() { close(begun); <-open })
	f.keeper(o, consumer.Config{MaxJobs: 4})
	w := listen(t, f.url, "reply.>")
	f.queue("job-1", jobFor("job-1"))
	receive(t, begun)
	reply := w.send(t, jobFor("job-1"))
	accepted(t, w.nc)
	close(open)
	require.True(t, resultFrom(t, w.next(t, reply)).Replayed)
	f.awaitEmpty()
	f.success("job-1")
	require.Equal(t, 1, o.starts)
	info, err := f.stream("RBEE_RESULTS").Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.LastSeq, "the first result stays")
}

// Of two processes that have run a job, the first result stays, and the job is done.
func TestTheFirstResultStays(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	f.keeper(g, consumer.Config{})
	f.queue("job-1", llama)
	job := g.next(t)
	first := resultOf(messages.Job{})
	first.JobID, first.HiveID, first.WorkerID, first.PID = "job-1", "gpu-1", "w1", 1
	data, err := first.Encode()
	require.NoError(t, err)
	f.queueOn("rbee.v1.result.gpu-1.job-1", string(data)) // the other process
	job.through()
	f.awaitEmpty()
	require.Equal(t, 1, f.success("job-1").PID)
}

// A failure that may pass, such as that a hive was busy, is no outcome, and no outcome is lost to one.
func TestARefusalIsNoOutcome(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	f.keeper(g, consumer.Config{MaxJobs: 1, MaxWaiting: -1})
	w := listen(t, f.url, "reply.>")
	f.queue("job-1", llama)
	job := g.next(t)
	busy := func(id string) {
		require.Equal(t, messages.HiveBusy, failureOf(t, w.next(t, w.send(t, jobFor(id)))).Err.Code)
	}
	busy("job-1")
	require.Equal(t, messages.HiveBusy, f.failure("job-1").Code)
	job.through()
	f.awaitEmpty()
	f.success("job-1")

	f.queue("job-2", llamaQueued)
	job = g.next(t)
	busy("job-1")
	require.NoError(t, f.nc.Flush())
	f.success("job-1")
	job.through()
}

// A copy of a request that comes late is refused. That is no outcome of the job, which is at work for another copy of it.
func TestALateCopyOfARequestIsNoOutcome(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*fleet, *wire){
		"queue":   func(f *fleet, _ *wire) { f.queue("job-1", llamaQueued) },
		"request": func(_ *fleet, w *wire) { w.send(t, jobFor("job-1")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, natstest.Server(t).URL())
			g := newGate()
			f.keeper(g, consumer.Config{})
			w := listen(t, f.url, "reply.>")
			start(f, w)
			job := g.next(t)
			late := `{"job_id":"job-1","model":"meta-llama/Llama-3-8b","device":"cpu","deadline":"2026-01-01T00:00:00Z"}`
			require.Equal(t, messages.DeadlineExceeded, failureOf(t, w.next(t, w.send(t, late))).Err.Code)
			require.Equal(t, messages.DeadlineExceeded, f.failure("job-1").Code)
			job.through()
			require.Eventually(t, func() bool {
				_, err := messages.DecodeResult(f.result("job-1").Data)
				return err == nil
			}, patience, time.Millisecond)
			f.awaitEmpty()
			require.Equal(t, messages.DeadlineExceeded, failureOf(t, w.next(t, w.send(t, late))).Err.Code)
			require.NoError(t, f.nc.Flush())
			f.success("job-1")
		})
	}
}

// What a request came to takes the place of a refusal, also one that the stream had not told yet when the request began, and also where it
// is a failure.
func TestARefusalHidesNoEndOfARequest(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	g := newGate()
	f.keeper(g, consumer.Config{})
	w := listen(t, f.url, "reply.>")
	reply := w.send(t, jobFor("job-1"))
	job := g.next(t)
	late := `{"job_id":"job-1","model":"m","device":"cpu","deadline":"2026-01-01T00:00:00Z"}`
	require.Equal(t, messages.DeadlineExceeded, failureOf(t, w.next(t, w.send(t, late))).Err.Code)
	require.Equal(t, messages.DeadlineExceeded, f.failure("job-1").Code)
	job.answer <- messages.Errorf(messages.WorkerExited, "it exited")
	require.Equal(t, messages.WorkerExited, failureOf(t, w.next(t, reply)).Err.Code)
	require.Eventually(t, func() bool { return f.failure("job-1").Code == messages.WorkerExited }, patience, time.Millisecond)
}

// A machine that was started again knows nothing of its workers; the stream of results does.
func TestARequestForAJobThatOnlyTheStreamKnowsStartsNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	first := f.keeper(spawned, consumer.Config{})
	before := resultFrom(t, ask(t, f.nc, "gpu-1", jobFor("job-1")))
	f.success("job-1")
	require.NoError(t, first.stop(t))

	g := newGate()
	f.keeper(g, consumer.Config{})
	again := resultFrom(t, ask(t, f.nc, "gpu-1", jobFor("job-1")))
	require.Equal(t, []any{true, true, before.WorkerID, before.PID}, []any{again.Replayed, again.Ended, again.WorkerID, again.PID})
	conflict := failureOf(t, ask(t, f.nc, "gpu-1", `{"job_id":"job-1","model":"another","device":"cpu"}`))
	require.Equal(t, messages.WorkerConflict, conflict.Err.Code)
	require.Empty(t, g.arrived)
}

func TestARequestForAWorkerThatTheMachineKnowsIsTheSpawners(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	worker := messages.WorkerID("gpu-1", "job-1")
	o := newOnce(func() {})
	f.keeper(known{o, messages.Worker{WorkerID: worker, JobID: "job-1"}}, consumer.Config{})
	resultFrom(t, ask(t, f.nc, "gpu-1", jobFor("job-1")))
	f.success("job-1")
	again := resultFrom(t, ask(t, f.nc, "gpu-1", jobFor("job-1")))
	require.True(t, again.Replayed)
	require.False(t, again.Ended)
}

// A job may have been answered with the worker of another. As long as that runs, nobody is told that it has ended.
func TestARequestForTheWorkerOfAnotherJobIsTheSpawners(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]messages.State{"it runs": messages.StateReady, "it has ended": messages.StateExited} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, natstest.Server(t).URL())
			job := `{"job_id":"job-2","worker_id":"w","model":"m","device":"cpu"}`
			pid := resultOf(messages.Job{JobID: "job-2", WorkerID: "w"}).PID
			f.keeper(known{newOnce(func() {}), messages.Worker{WorkerID: "w", JobID: "job-1", PID: pid, State: state}}, consumer.Config{})
			resultFrom(t, ask(t, f.nc, "gpu-1", job))
			f.success("job-2")
			again := resultFrom(t, ask(t, f.nc, "gpu-1", job))
			require.True(t, again.Replayed)
			require.Equal(t, state == messages.StateExited, again.Ended)
		})
	}
}

// A request whose job failed before a worker was started is tried again, as it is without a stream.
func TestARequestThatStartedNothingIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	spawner, calls := failing(messages.Errorf(messages.WorkerNotInstalled, "install it"))
	f.keeper(spawner, consumer.Config{})
	require.Equal(t, messages.WorkerNotInstalled, failureOf(t, ask(t, f.nc, "gpu-1", jobFor("job-1"))).Err.Code)
	f.result("job-1")
	resultFrom(t, ask(t, f.nc, "gpu-1", jobFor("job-1")))
	require.EqualValues(t, 2, calls.Load())
	require.Eventually(t, func() bool { // which is what came of it in the end, and reaches the stream a moment behind the answer
		_, err := messages.DecodeResult(f.result("job-1").Data)
		return err == nil
	}, patience, time.Millisecond)
}

// A job whose hive died is delivered again, past its deadline, too, if it came in time.
func TestAJobOfAHiveThatDiedComesAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	f.administrate(func(c *jetstream.ConsumerConfig) { c.AckWait = patience })
	g := newGate()
	dead := f.keeper(g, consumer.Config{DrainTimeout: -1})
	deadline := time.Now().Add(patience)
	f.queue("job-1", fmt.Sprintf(`{"model":"m","device":"cpu","deadline":%q}`, deadline.Format(time.RFC3339Nano)))
	g.next(t)
	dead.nc.Close() // what it says from now on, nobody hears
	require.Error(t, dead.wait(t))

	f.administrate(func(c *jetstream.ConsumerConfig) { c.AckWait = 400 * time.Millisecond }) // nobody waits that long here
	f.keeper(spawned, consumer.Config{})
	f.success("job-1")
	f.awaitEmpty()
	require.Equal(t, 2, f.story("job-1", 1)[0].Attempt)
}

func TestALateJobWhoseWorkerRunsIsNotRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	late := known{newOnce(func() {}), messages.Worker{WorkerID: messages.WorkerID("gpu-1", "job-1"), JobID: "job-1"}}
	f.keeper(late, consumer.Config{})
	past := `{"model":"m","device":"cpu","deadline":"2026-01-01T00:00:00Z"}`
	f.queue("job-1", past)
	f.queue("job-2", past)
	f.success("job-1")
	require.Equal(t, messages.DeadlineExceeded, f.failure("job-2").Code)
	f.awaitEmpty()
}

// A request that comes once more behind its deadline, because its hive was killed, gets what became of the first.
func TestALateRequestWhoseWorkerRunsIsNotRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, natstest.Server(t).URL())
	f.keeper(known{newOnce(func() {}), messages.Worker{WorkerID: messages.WorkerID("gpu-1", "job-1"), JobID: "job-1"}}, consumer.Config{})
	late := `{"job_id":%q,"model":"m","device":"cpu","deadline":"2026-01-01T00:00:00Z"}`
	resultFrom(t, ask(t, f.nc, "gpu-1", fmt.Sprintf(late, "job-1")))
	require.Equal(t, messages.DeadlineExceeded, failureOf(t, ask(t, f.nc, "gpu-1", fmt.Sprintf(late, "job-2"))).Err.Code)
}

// Where the stream of jobs leaves a mark in the place of a job that expired, that has a result.
func TestAJobThatExpiredInTheQueueLeavesAResult(t *testing.T) {
	t.Parallel()
	f := noFleet(t, natstest.Server(t).URL())
	f.makeStreams()
	cfg := jobsConfig()
	cfg.SubjectDeleteMarkerTTL = time.Hour
	_, err := f.js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = f.js.PublishMsg(t.Context(), &nats.Msg{Subject: "rbee.v1.job.gpu-1.worker_spawn.job-1", Data: []byte(llama)}, jetstream.WithMsgTTL(time.Second))
	require.NoError(t, err)
	jobs := f.stream("RBEE_JOBS")
	require.Eventually(t, func() bool {
		msg, err := jobs.GetLastMsgForSubject(t.Context(), "rbee.v1.job.gpu-1.worker_spawn.job-1")
		return err == nil && msg.Header.Get("Nats-Marker-Reason") != ""
	}, patience, 10*time.Millisecond)

	g := newGate()
	f.keeper(g, consumer.Config{})
	failure := f.failure("job-1")
	require.Equal(t, messages.DeadlineExceeded, failure.Code)
	require.Contains(t, failure.Message, "expired in the queue")
	f.awaitEmpty()
	require.Empty(t, g.arrived)
}
