package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

const llama = `{"operation":"worker_spawn","job_id":"job-1","hive_id":"gpu-1","model":"meta-llama/Llama-3-8b","device":"cpu","worker_id":"w1"}`

func TestJobIsNarratedThenLeftAsResultThenAnswered(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	serve(t, srv.URL(), sixSteps, consumer.Config{})
	w := tap(t, srv.URL())

	reply := w.send(t, llama)

	w.next(t, "rbee.v1.hive.gpu-1.worker_spawn")
	for seq, action := range []messages.Action{
		messages.ActionSpawnStart, messages.ActionTypeDetermined, messages.ActionBinaryCatalog, messages.ActionBinaryFound,
		messages.ActionSpawnCommand, messages.ActionSpawned, messages.ActionSpawnComplete,
	} {
		msg := receive(t, w.heard)
		require.Equal(t, "rbee.v1.narration.gpu-1.job-1."+string(action), msg.Subject)
		e := eventOf(t, msg)
		require.Equal(t, seq+1, e.Seq)
		require.Equal(t, action, e.Action)
		require.Equal(t, []string{"gpu-1", "job-1", "w1", "w1"}, []string{e.HiveID, e.JobID, e.WorkerID, e.Target})
		require.Equal(t, 1, e.Attempt)
		require.Equal(t, action == messages.ActionSpawnComplete, e.Terminal)
		if e.Terminal {
			require.Equal(t, "✅ Worker spawned: w1 (PID: 4242)", e.Human)
			require.Equal(t, 4242, e.Fields.PID)
			require.Equal(t, 9001, e.Fields.Port)
		}
	}
	for _, subject := range []string{"rbee.v1.result.gpu-1.job-1", reply} {
		msg := receive(t, w.heard)
		require.Equal(t, subject, msg.Subject)
		require.Equal(t, nats.Header{"Rbee-Job-Id": {"job-1"}, "Rbee-Hive-Id": {"gpu-1"}}, msg.Header)
		r := resultFrom(t, msg)
		require.Equal(t, []string{"job-1", "gpu-1", "w1"}, []string{r.JobID, r.HiveID, r.WorkerID})
		require.Equal(t, 4242, r.PID)
	}
}

func TestJobGetsItsDefaults(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	serve(t, srv.URL(), g, consumer.Config{})
	w := tap(t, srv.URL())
	reply := w.send(t, `{"model":"m","device":"cpu"}`)

	c := g.next(t)
	require.Equal(t, messages.WorkerSpawn, c.job.Operation)
	require.Equal(t, "gpu-1", c.job.HiveID)
	require.Regexp(t, `^job-[0-9a-f-]{36}$`, c.job.JobID)
	require.Equal(t, messages.WorkerID("gpu-1", c.job.JobID), c.job.WorkerID)
	c.through()
	require.Equal(t, c.job.JobID, w.next(t, reply).Header.Get("Rbee-Job-Id"))
}

func TestRefusalsNameTheirReasonAndStartNothing(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	serve(t, srv.URL(), spawnFunc(func(context.Context, messages.Job, func(messages.Event), consumer.Waiting) (messages.Result, error) {
		panic("a refused job came to the spawner")
	}), consumer.Config{})
	w := tap(t, srv.URL())

	cases := map[string]struct {
		job    string
		code   messages.Code
		status string
		says   string
		id     string // "" is a fresh one
		human  string
	}{
		"not JSON":       {job: "\n", code: "invalid_job", status: "400", says: "payload", human: "❌ Job '%s' refused: invalid_job: "},
		"unknown field":  {job: `{"job_id":"j1","model":"m","device":"cpu","pid":1}`, code: "invalid_job", status: "400", says: "pid", id: "j1", human: "❌ Job 'j1' refused: invalid_job: pid"},
		"no model":       {job: `{"job_id":"j2","worker_id":"w2","device":"cpu"}`, code: "invalid_job", status: "400", says: "model", id: "j2", human: "❌ Worker 'w2' not spawned: invalid_job: model"},
		"a flag":         {job: `{"job_id":"j3","model":"--help","device":"cpu"}`, code: "invalid_job", status: "400", says: "model", id: "j3"},
		"bad id":         {job: `{"job_id":"j.4","model":"m","device":"cpu"}`, code: "invalid_job", status: "400", says: "job_id"},
		"other op":       {job: `{"operation":"worker_delete","job_id":"j5","model":"m","device":"cpu"}`, code: "invalid_job", status: "400", says: "operation", id: "j5"},
		"too large":      {job: `{"job_id":"j6","model":"` + strings.Repeat("m", 70000) + `"}`, code: "invalid_job", status: "400", says: "65536"},
		"another hive":   {job: `{"job_id":"j7","hive_id":"gpu-2","model":"m","device":"cpu"}`, code: "wrong_hive", status: "400", says: "gpu-2", id: "j7", human: "❌ Job 'j7' refused: wrong_hive: "},
		"deadline is up": {job: `{"job_id":"j8","model":"m","device":"cpu","deadline":"2020-01-01T00:00:00Z"}`, code: "deadline_exceeded", status: "408", says: "2020-01-01", id: "j8", human: "❌ Worker '" + messages.WorkerID("gpu-1", "j8") + "' not spawned: deadline_exceeded: "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reply := w.send(t, tc.job)

			told := w.next(t, "rbee.v1.narration.gpu-1.")
			e := eventOf(t, told)
			if tc.id == "" {
				require.Regexp(t, `^job-[0-9a-f-]{36}$`, e.JobID)
				tc.id = e.JobID
			}
			require.Equal(t, "rbee.v1.narration.gpu-1."+tc.id+".worker_spawn_failed", told.Subject)
			require.Equal(t, 1, e.Seq)
			require.True(t, e.Terminal)
			require.Equal(t, messages.LevelError, e.Level)
			require.Equal(t, tc.code, e.Fields.Error.Code)
			require.Contains(t, e.Human, strings.ReplaceAll(tc.human, "%s", tc.id))
			require.Contains(t, e.Human, e.Fields.Error.Message)

			for _, subject := range []string{"rbee.v1.result.gpu-1." + tc.id, reply} {
				msg := receive(t, w.heard)
				require.Equal(t, subject, msg.Subject)
				f := failureOf(t, msg)
				require.Equal(t, messages.Failure{JobID: tc.id, HiveID: "gpu-1", Err: e.Fields.Error}, f)
				require.Contains(t, f.Err.Message, tc.says)
				require.Equal(t, nats.Header{
					"Rbee-Job-Id": {tc.id}, "Rbee-Hive-Id": {"gpu-1"}, "Nats-Service-Error": {f.Err.Message}, "Nats-Service-Error-Code": {tc.status},
				}, msg.Header)
			}
		})
	}
}

func TestUnknownOperationIsOnlyAnswered(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	r := serve(t, srv.URL(), spawned, consumer.Config{})
	w := tap(t, srv.URL())

	msg, err := w.nc.Request("rbee.v1.hive.gpu-1.worker_dance", []byte(`{"job_id":"j1"}`), patience)
	require.NoError(t, err)
	require.Equal(t, messages.UnknownOperation, failureOf(t, msg).Err.Code)
	require.Equal(t, "j1", msg.Header.Get("Rbee-Job-Id"))
	require.Equal(t, "400", msg.Header.Get("Nats-Service-Error-Code"))
	for _, msg := range w.rest(t, r.nc) {
		require.NotContains(t, msg.Subject, "narration")
		require.NotContains(t, msg.Subject, "result")
	}
}

func TestFailuresOfTheSpawnerReachTheCallerWhole(t *testing.T) {
	t.Parallel()
	code := 127
	exited := &messages.Error{
		Code: messages.WorkerExited, Message: "exited with 127", ExitCode: &code, LogTail: []string{"one", "two"}, Tried: []string{"/a"}, Retryable: true,
	}
	wrapped := *exited
	wrapped.Message = "spawn: exited with 127"
	var none *messages.Error
	cases := map[string]struct {
		spawn  func() (messages.Result, error)
		want   messages.Error
		header string
	}{
		"an error of ours": {func() (messages.Result, error) { return messages.Result{}, exited }, *exited, "exited with 127"},
		"two lines": {
			func() (messages.Result, error) {
				return messages.Result{}, &messages.Error{Code: messages.SpawnFailed, Message: "line one\r\nline two"}
			},
			messages.Error{Code: messages.SpawnFailed, Message: "line one\r\nline two"},
			"line one line two",
		},
		"a wrapped one": {
			func() (messages.Result, error) { return messages.Result{}, fmt.Errorf("spawn: %w", exited) }, wrapped, "spawn: exited with 127",
		},
		"a foreign one": {
			func() (messages.Result, error) { return messages.Result{}, errors.New("line one\r\nline two") },
			messages.Error{Code: messages.Internal, Message: "line one line two"},
			"line one line two",
		},
		"a panic": {
			func() (messages.Result, error) { panic("out of\ncheese") },
			messages.Error{Code: messages.Internal, Message: "the hive panicked: out of cheese"},
			"the hive panicked: out of cheese",
		},
		"a nil one": {
			func() (messages.Result, error) { return messages.Result{}, none },
			messages.Error{Code: messages.Internal, Message: "the hive panicked: runtime error: invalid memory address or nil pointer dereference"},
			"the hive panicked: runtime error: invalid memory address or nil pointer dereference",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Server(t)
			w := tap(t, srv.URL())
			serve(t, srv.URL(), spawnFunc(func(_ context.Context, job messages.Job, emit func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
				if job.JobID != "job-1" {
					return resultOf(job), nil
				}
				emit(messages.Event{Action: messages.ActionSpawnStart})
				return tc.spawn()
			}), consumer.Config{MaxJobs: 1})

			reply := w.send(t, llama)
			require.Equal(t, 1, eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.job-1.")).Seq)
			e := eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.job-1."))
			require.Equal(t, 2, e.Seq)
			require.True(t, e.Terminal)
			require.Equal(t, tc.want, *e.Fields.Error)
			require.Equal(t, fmt.Sprintf("❌ Worker 'w1' not spawned: %s: %s", tc.want.Code, tc.header), e.Human)
			msg := w.next(t, reply)
			require.Equal(t, tc.want, *failureOf(t, msg).Err)
			require.Equal(t, tc.header, msg.Header.Get("Nats-Service-Error"))

			resultFrom(t, ask(t, w.nc, "gpu-1", `{"model":"m","device":"cpu"}`)) // the hive goes on and has its slot back
		})
	}
}

func TestReplayIsMarked(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	w := tap(t, srv.URL())
	serve(t, srv.URL(), spawnFunc(func(_ context.Context, job messages.Job, emit func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
		emit(messages.Event{Action: messages.ActionSpawnReplayed, Attempt: 2})
		emit(messages.Event{Action: messages.ActionReady})
		r := resultOf(job)
		r.Replayed = true
		return r, nil
	}), consumer.Config{})

	reply := w.send(t, llama)
	for seq := 1; seq <= 3; seq++ {
		e := eventOf(t, w.next(t, "rbee.v1.narration."+"gpu-1.job-1."))
		require.Equal(t, []int{seq, 2}, []int{e.Seq, e.Attempt})
	}
	require.Equal(t, "true", w.next(t, reply).Header.Get("Rbee-Replayed"))
}

func TestJobWithoutReplySubjectRuns(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	serve(t, srv.URL(), spawned, consumer.Config{})
	w := tap(t, srv.URL())

	require.NoError(t, w.nc.Publish("rbee.v1.hive.gpu-1.worker_spawn", []byte(llama)))
	require.Equal(t, messages.ActionSpawnComplete, eventOf(t, w.next(t, "rbee.v1.narration.gpu-1.job-1.")).Action)
	require.Equal(t, "w1", resultFrom(t, w.next(t, "rbee.v1.result.gpu-1.job-1")).WorkerID)
}

func TestJobsReachOnlyTheirHive(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	for _, id := range []string{"gpu-1", "gpu-2"} {
		serve(t, srv.URL(), spawned, consumer.Config{HiveID: id})
	}
	client := dial(t, srv.URL())
	for i := range 40 {
		id := fmt.Sprintf("gpu-%d", 1+i%2)
		require.Equal(t, id, resultFrom(t, ask(t, client, id, `{"model":"m","device":"cpu"}`)).HiveID)
	}
	_, err := client.Request("rbee.v1.hive.gpu-3.worker_spawn", []byte(llama), patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func TestFleetsWithAPrefixOfTheirOwnDoNotMeet(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	subjects, err := messages.NewSubjects("acme.test")
	require.NoError(t, err)
	serve(t, srv.URL(), spawned, consumer.Config{Subjects: subjects})

	_, err = dial(t, srv.URL()).Request("rbee.v1.hive.gpu-1.worker_spawn", []byte(llama), patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
	w := tap(t, srv.URL())
	_, err = w.nc.Request("acme.test.hive.gpu-1.worker_spawn", []byte(llama), patience)
	require.NoError(t, err)
	w.next(t, "acme.test.narration.gpu-1.job-1.worker_spawn_complete")
	w.next(t, "acme.test.result.gpu-1.job-1")
}

func TestTwoProcessesOfOneHiveRunEachJobOnce(t *testing.T) {
	t.Parallel()
	const jobs = 300
	srv := natstest.Server(t)
	var mu sync.Mutex
	ran := map[string]int{}
	for range 2 {
		serve(t, srv.URL(), spawnFunc(func(_ context.Context, job messages.Job, _ func(messages.Event), _ consumer.Waiting) (messages.Result, error) {
			mu.Lock()
			defer mu.Unlock()
			ran[job.JobID]++
			return resultOf(job), nil
		}), consumer.Config{MaxWaiting: jobs})
	}
	w := tap(t, srv.URL())
	want := map[string]int{}
	for i := range jobs {
		id := fmt.Sprintf("job-%d", i)
		want[id] = 1
		w.send(t, fmt.Sprintf(`{"job_id":%q,"model":"m","device":"cpu"}`, id))
	}
	for range jobs {
		w.next(t, "reply.")
	}
	mu.Lock()
	defer mu.Unlock()
	require.True(t, maps.Equal(want, ran))
}

// Whoever may store a message and have it repeated chooses the subject that it comes on: that is no way to send jobs.
func TestRequestThatAStreamRepeatsIsDropped(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	g := newGate()
	serve(t, srv.URL(), g, consumer.Config{})
	wire := tap(t, srv.URL())
	for _, op := range []string{"worker_spawn", "worker_delete", "worker_list"} {
		require.NoError(t, wire.nc.PublishMsg(&nats.Msg{
			Subject: "rbee.v1.hive.gpu-1." + op, Reply: "reply.repeated", Header: nats.Header{"Nats-Stream": {"RBEE_RESULTS"}},
			Data: []byte(`{"job_id":"repeated","model":"m","device":"cpu"}`),
		}))
	}
	reply := wire.send(t, `{"job_id":"asked","model":"m","device":"cpu"}`)
	c := g.next(t)
	require.Equal(t, "asked", c.job.JobID, "it was sent behind the others")
	c.through()
	for {
		msg := receive(t, wire.heard)
		require.NotEqual(t, "reply.repeated", msg.Subject)
		require.NotContains(t, msg.Subject, ".repeated.")
		if msg.Subject == reply {
			return
		}
	}
}
