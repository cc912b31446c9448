package queen_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func TestSpawnSendsNothingThatIsWrong(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	gpu := playHive(t, srv.URL(), "gpu-1", obedient)
	client, nc := connect(t, srv.URL())
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	cases := map[string]struct {
		ctx  context.Context
		hive string
		job  messages.Job
		is   error
		says string
	}{
		"a hive that is no id":     {hive: "gpu.1", job: job(), is: messages.InvalidJob, says: "hive:"},
		"no hive":                  {job: job(), is: messages.InvalidJob, says: "hive:"},
		"a job for another hive":   {hive: "gpu-1", job: messages.Job{HiveID: "gpu-2", Model: "m", Device: "cpu"}, is: messages.WrongHive, says: "gpu-2"},
		"no model":                 {hive: "gpu-1", job: messages.Job{Device: "cpu"}, is: messages.InvalidJob, says: "model:"},
		"a job id that is none":    {hive: "gpu-1", job: messages.Job{JobID: "*", Model: "m", Device: "cpu"}, is: messages.InvalidJob, says: "job_id:"},
		"another operation":        {hive: "gpu-1", job: messages.Job{Operation: "worker_fry", Model: "m", Device: "cpu"}, is: messages.InvalidJob, says: "operation:"},
		"a context that has ended": {ctx: ended, hive: "gpu-1", job: job(), is: context.Canceled, says: "send job job-"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ctx := tc.ctx
			if ctx == nil {
				ctx = patient(t)
			}
			_, err := client.Spawn(ctx, tc.hive, tc.job, func(messages.Event) { t.Error("something was narrated") })
			require.ErrorIs(t, err, tc.is)
			require.ErrorContains(t, err, tc.says)
		})
	}
	require.NoError(t, nc.Flush())
	require.NoError(t, gpu.nc.Flush())
	require.Empty(t, gpu.jobs)
}

func TestSpawnReturnsTheErrorOfTheHive(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	code := 127
	playHive(t, srv.URL(), "gpu-1", func(h *hive, req *nats.Msg, job messages.Job) {
		h.narrate(job, 1, messages.ActionSpawnStart)
		h.narrate(job, 2, messages.ActionSpawnFailed)
		h.reply(req, messages.Failure{JobID: job.JobID, HiveID: h.id, Err: &messages.Error{
			Code: messages.WorkerExited, Message: "worker-1 exited with 127", ExitCode: &code, LogTail: []string{"no such model"},
		}})
	})
	client, _ := connect(t, srv.URL())

	var last messages.Event
	result, err := client.Spawn(patient(t), "gpu-1", job(), func(e messages.Event) { last = e })
	require.ErrorIs(t, err, messages.WorkerExited)
	failure, ok := errors.AsType[*messages.Error](err)
	require.True(t, ok)
	require.Equal(t, 127, *failure.ExitCode)
	require.Equal(t, []string{"no such model"}, failure.LogTail)
	require.Equal(t, messages.ActionSpawnFailed, last.Action)
	require.Equal(t, messages.Result{JobID: last.JobID, HiveID: "gpu-1"}, result)
}

func TestSpawnOnAHiveThatIsNotThere(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		announced []map[string]string
		known     []string
		says      string
	}{
		"no hive at all": {says: "no hive gpu-9 answers, and no other below rbee.v1"},
		"others, one of them twice": {
			announced: []map[string]string{metadata("gpu-2"), metadata("gpu-1"), metadata("gpu-2")},
			known:     []string{"gpu-1", "gpu-2"}, says: "those that do: gpu-1, gpu-2",
		},
		"only of another fleet": {
			announced: []map[string]string{{"hive_id": "gpu-1", "prefix": "other.v1"}},
			says:      "no other below rbee.v1",
		},
		"it is about to come": {
			announced: []map[string]string{metadata("gpu-9")},
			known:     []string{"gpu-9"}, says: "ask again",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Server(t)
			for _, meta := range tc.announced {
				announce(t, srv.URL(), meta)
			}
			client, _ := connect(t, srv.URL())
			err := spawnNowhere(t, client, len(tc.known))
			require.Equal(t, &queen.NoHiveError{Hive: "gpu-9", Prefix: "rbee.v1", Known: tc.known}, err)
			require.ErrorIs(t, err, nats.ErrNoResponders)
			require.ErrorContains(t, err, tc.says)
		})
	}
}

func TestSpawnWithoutAnAnswerThatCounts(t *testing.T) {
	t.Parallel()
	begin := func(h *hive, _ *nats.Msg, job messages.Job) { h.narrate(job, 1, messages.ActionSpawnStart) }
	cases := map[string]struct {
		hive   func(h *hive, req *nats.Msg, job messages.Job)
		strike func(nc *nats.Conn, cancel func()) // at the first event
		is     error
		says   string
	}{
		"the context ends": {hive: begin, strike: func(_ *nats.Conn, cancel func()) { cancel() }, is: context.Canceled},
		"the connection closes": {
			hive: begin, strike: func(nc *nats.Conn, _ func()) { nc.Close() }, is: nats.ErrConnectionClosed,
		},
		"an answer for another job": {hive: func(h *hive, req *nats.Msg, job messages.Job) {
			h.reply(req, messages.Result{JobID: "job-other", HiveID: h.id, WorkerID: "w"})
		}, says: `job "job-other"`},
		"an answer of another hive": {hive: func(h *hive, req *nats.Msg, job messages.Job) {
			h.reply(req, messages.Failure{JobID: job.JobID, HiveID: "gpu-2", Err: messages.Errorf(messages.HiveBusy, "no")})
		}, says: `hive "gpu-2"`},
		"an answer that is none": {hive: func(_ *hive, req *nats.Msg, _ messages.Job) {
			_ = req.Respond([]byte("+OK"))
		}, says: "read the hive's answer"},
		"an empty answer": {hive: func(_ *hive, req *nats.Msg, _ messages.Job) {
			_ = req.Respond([]byte("{}"))
		}, says: "neither a result nor an error"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Server(t)
			playHive(t, srv.URL(), "gpu-1", tc.hive)
			client, nc := connect(t, srv.URL())
			ctx, cancel := context.WithCancel(patient(t))
			defer cancel()
			mine := job()
			mine.JobID = "job-mine"
			result, err := client.Spawn(ctx, "gpu-1", mine, func(messages.Event) { tc.strike(nc, cancel) })

			lost, ok := errors.AsType[*queen.NoAnswerError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, "gpu-1", lost.Hive)
			require.Equal(t, "job-mine", lost.JobID)
			require.Zero(t, result)
			for _, text := range []string{"job-mine", "gpu-1", "ask again", tc.says} {
				require.ErrorContains(t, err, text)
			}
			if tc.is != nil {
				require.ErrorIs(t, err, tc.is)
			}
		})
	}
}

// It ends at once, and does not wait for ctx.
func TestSpawnByAUserWhoMayNotSendJobs(t *testing.T) {
	t.Parallel()
	srv := guarded(t, `publish: "$SRV.>", subscribe: ">"`)
	as := nats.UserInfo("queen", "q")
	inURL := strings.Replace(srv.URL(), "nats://", "nats://queen:q@", 1)
	for name, dial := range map[string]func() *queen.Client{
		"a user of the connection": func() *queen.Client { client, _ := connect(t, srv.URL(), as, nats.ErrorHandler(ignore)); return client },
		"a user in the URL":        func() *queen.Client { client, _ := connect(t, inURL, nats.ErrorHandler(ignore)); return client },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := dial()
			for what, ask := range map[string]func() error{
				"a job":      func() error { _, err := client.Spawn(patient(t), "gpu-1", job(), nil); return err },
				"and again":  func() error { _, err := client.Spawn(patient(t), "gpu-1", job(), nil); return err },
				"a question": func() error { _, err := client.Worker(patient(t), "gpu-1", "w1"); return err },
			} {
				err := ask()
				require.ErrorIs(t, err, nats.ErrPermissionViolation, what)
				require.NotErrorIs(t, err, context.DeadlineExceeded, what)
				require.ErrorContains(t, err, `user "queen" may not publish on rbee.v1.hive.gpu-1.worker_`, what)
				require.ErrorContains(t, err, "have whoever runs the NATS server permit it", what)
				_, unknown := errors.AsType[*queen.NoAnswerError](err)
				require.False(t, unknown, "nothing was sent")
			}
		})
	}
}

func ignore(*nats.Conn, *nats.Subscription, error) {}

func spawnNowhere(t *testing.T, client *queen.Client, n int) *queen.NoHiveError {
	t.Helper()
	for ctx := patient(t); ; {
		_, err := client.Spawn(ctx, "gpu-9", job(), nil)
		absent, ok := errors.AsType[*queen.NoHiveError](err)
		require.True(t, ok, "%v", err)
		if len(absent.Known) >= n {
			return absent
		}
	}
}
