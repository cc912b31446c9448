package queen_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// encoder is any message.
type encoder interface{ Encode() ([]byte, error) }

// playAnswers subscribes a hive that answers every request of an operation with what do returns, and lets one go without an
// answer for which that is nil. It returns the subscription, so that a test can end it.
func playAnswers(tb testing.TB, url, id string, op messages.Operation, do func(data []byte) encoder) *nats.Subscription {
	tb.Helper()
	h := &hive{tb: tb, nc: natstest.Dial(tb, url), id: id}
	sub, err := h.nc.Subscribe(h.subjects.Request(id, op), func(req *nats.Msg) {
		answer := do(req.Data)
		if answer == nil {
			return
		}
		data, err := answer.Encode()
		if err == nil {
			err = req.Respond(data)
		}
		if err != nil && !errors.Is(err, nats.ErrConnectionClosed) { // then the test is over, and so is whoever asked
			tb.Errorf("hive %s: %v", id, err)
		}
	})
	require.NoError(tb, err)
	require.NoError(tb, h.nc.Flush())
	return sub
}

// read returns what decode makes of a request that a client sent.
func read[R any](tb testing.TB, data []byte, op messages.Operation, decode func([]byte, messages.Operation) (R, error)) R {
	request, err := decode(data, op)
	if err != nil {
		tb.Errorf("a client sent %s: %v", data, err)
	}
	return request
}

// worker is one as a hive tells of it.
func worker(id string) messages.Worker {
	return messages.Worker{WorkerID: id, PID: 12345, State: messages.StateReady, Port: 9001}
}

// notFound is the answer to a question about a worker that there is not.
func notFound() encoder {
	return messages.Failure{HiveID: "gpu-1", Err: messages.Errorf(messages.WorkerNotFound, "hive gpu-1 has no such worker")}
}

func TestWorkersReadsEveryPage(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	ids := []string{"w1", "w2", "w3", "w4", "w5"}
	pages := 0
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerList, func(data []byte) encoder {
		pages++
		request := read(t, data, messages.WorkerList, messages.DecodeList)
		page := messages.WorkerPage{HiveID: "gpu-1"}
		for _, id := range ids {
			if id <= request.After {
				continue
			}
			if len(page.Workers) == 2 {
				page.Next = page.Workers[1].WorkerID
				break
			}
			page.Workers = append(page.Workers, worker(id))
		}
		if request.Exited {
			page.Workers[0].State = messages.StateExited
		}
		return page
	})
	client, _ := connect(t, srv.URL())
	listed := func(request messages.ListRequest) (ids []string, exited int) {
		workers, err := client.Workers(patient(t), "gpu-1", request)
		require.NoError(t, err)
		for _, w := range workers {
			ids = append(ids, w.WorkerID)
			if w.State == messages.StateExited {
				exited++
			}
		}
		return ids, exited
	}

	got, exited := listed(messages.ListRequest{})
	require.Equal(t, ids, got)
	require.Equal(t, []int{3, 0}, []int{pages, exited})
	got, exited = listed(messages.ListRequest{HiveID: "gpu-1", After: "w2", Exited: true})
	require.Equal(t, ids[2:], got)
	require.Equal(t, []int{5, 2}, []int{pages, exited})
}

func TestWorkersOfAHiveThatTurnsInCircles(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerList, func([]byte) encoder {
		return messages.WorkerPage{HiveID: "gpu-1", Workers: []messages.Worker{worker("w1")}, Next: "w1"}
	})
	client, _ := connect(t, srv.URL())
	_, err := client.Workers(patient(t), "gpu-1", messages.ListRequest{})
	require.ErrorContains(t, err, `the page behind "w1" says that "w1" comes next`)
}

func TestWorkerAndStatus(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	playAnswers(t, srv.URL(), "gpu-1", messages.WorkerGet, func(data []byte) encoder {
		if id := read(t, data, messages.WorkerGet, messages.DecodeGet).WorkerID; id == "w1" {
			return messages.WorkerAnswer{HiveID: "gpu-1", Worker: worker(id)}
		}
		return notFound()
	})
	info := messages.HiveInfo{HiveID: "gpu-1", Version: "1.2.3", Devices: messages.ParseDevices("cpu"), Workers: 7}
	playAnswers(t, srv.URL(), "gpu-1", messages.HiveStatus, func(data []byte) encoder {
		read(t, data, messages.HiveStatus, messages.DecodeStatus)
		return info
	})
	client, nc := connect(t, srv.URL())

	got, err := client.Worker(context.WithoutCancel(t.Context()), "gpu-1", "w1")
	require.NoError(t, err)
	require.Equal(t, worker("w1"), got)
	got, err = client.Worker(patient(t), "gpu-1", "w2")
	require.ErrorIs(t, err, messages.WorkerNotFound)
	require.Zero(t, got)
	status, err := client.Status(patient(t), "gpu-1")
	require.NoError(t, err)
	require.Equal(t, info, status)
	require.Equal(t, 1, nc.NumSubscriptions(), "only the inbox: questions have no story")
}

// questions returns one question of each kind.
func questions(client *queen.Client) map[messages.Operation]func(ctx context.Context, hive string) error {
	return map[messages.Operation]func(context.Context, string) error{
		messages.WorkerList: func(ctx context.Context, hive string) error {
			_, err := client.Workers(ctx, hive, messages.ListRequest{})
			return err
		},
		messages.WorkerGet: func(ctx context.Context, hive string) error {
			_, err := client.Worker(ctx, hive, "w1")
			return err
		},
		messages.WorkerLogs: func(ctx context.Context, hive string) error {
			_, err := client.Logs(ctx, hive, messages.LogsRequest{WorkerID: "w1"})
			return err
		},
		messages.CatalogList: func(ctx context.Context, hive string) error {
			_, err := client.Catalog(ctx, hive)
			return err
		},
		messages.HiveStatus: func(ctx context.Context, hive string) error {
			_, err := client.Status(ctx, hive)
			return err
		},
	}
}

func TestAQuestionWithoutAnAnswerThatCounts(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	client, _ := connect(t, srv.URL())
	for op, question := range questions(client) {
		hives := map[string]encoder{
			"silent":  nil,
			"other":   messages.Failure{HiveID: "gpu-2", Err: messages.Errorf(messages.WorkerNotFound, "no")},
			"nothing": messages.Failure{HiveID: "nothing"},
		}
		for id, answer := range hives {
			playAnswers(t, srv.URL(), id, op, func([]byte) encoder { return answer })
		}
		for id, says := range map[string]string{
			"silent": "context canceled", "other": `of hive "gpu-2"`, "nothing": "nor an error",
		} {
			t.Run(string(op)+" "+id, func(t *testing.T) {
				ctx, cancel := context.WithCancel(patient(t))
				defer cancel()
				if id == "silent" {
					playAnswers(t, srv.URL(), id, op, func([]byte) encoder { cancel(); return nil })
				}
				err := question(ctx, id)
				lost, ok := errors.AsType[*queen.NoAnswerError](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, queen.NoAnswerError{Hive: id, Operation: op, Err: lost.Err}, *lost)
				require.ErrorContains(t, err, "wait for hive "+id+" to answer "+string(op)+": ")
				require.ErrorContains(t, err, says)
			})
		}
		t.Run(string(op)+" nobody", func(t *testing.T) {
			err := question(patient(t), "gpu-9")
			require.ErrorIs(t, err, nats.ErrNoResponders)
			_, ok := errors.AsType[*queen.NoHiveError](err)
			require.True(t, ok, "%v", err)
		})
		t.Run(string(op)+" late", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorContains(t, question(ctx, "silent"), "send question "+string(op)+" to hive silent: context canceled")
		})
	}
}

func TestQuestionsThatAreWrongAreNotSent(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	client, nc := connect(t, srv.URL())
	for op := range questions(client) {
		playAnswers(t, srv.URL(), "gpu-1", op, func(data []byte) encoder {
			t.Errorf("%s was asked: %s", op, data)
			return nil
		})
	}
	for says, ask := range map[string]func() error{
		"hive: ":      func() error { _, err := client.Status(patient(t), "gpu.1"); return err },
		"worker_id: ": func() error { _, err := client.Worker(patient(t), "gpu-1", "*"); return err },
		"after: ": func() error {
			_, err := client.Workers(patient(t), "gpu-1", messages.ListRequest{After: "a.b"})
			return err
		},
		"from: ": func() error {
			_, err := client.Logs(patient(t), "gpu-1", messages.LogsRequest{WorkerID: "w1", Tail: 1, From: new(int64(1))})
			return err
		},
	} {
		err := ask()
		require.ErrorIs(t, err, messages.InvalidJob)
		require.ErrorContains(t, err, says)
	}
	_, err := client.Workers(patient(t), "gpu-1", messages.ListRequest{HiveID: "gpu-2"})
	require.ErrorIs(t, err, messages.WrongHive)
	require.NoError(t, nc.Flush())
}

func TestDeleteTellsTheWholeStoryBeforeItReturns(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	sent := make(chan messages.DeleteJob, 1)
	var h *hive
	h = playDeletes(t, srv.URL(), func(req *nats.Msg, job messages.DeleteJob) {
		sent <- job
		told := messages.Job{JobID: job.JobID}
		h.narrate(told, 1, messages.ActionDeleteStart)
		h.narrate(told, 2, messages.ActionDeleteSigterm)
		h.publish(messages.Event{
			Seq: 3, Action: messages.ActionDeleteComplete, HiveID: h.id, JobID: job.JobID, WorkerID: job.WorkerID, Attempt: 1, Terminal: true,
		})
		h.reply(req, messages.Deleted{JobID: job.JobID, HiveID: h.id, WorkerID: job.WorkerID, PID: 12345, Signal: "SIGTERM", TookMS: 5, Processes: 3})
	})
	client, nc := connect(t, srv.URL())
	ctx := patient(t)
	limit, _ := ctx.Deadline()

	var told []messages.Action
	deleted, err := client.Delete(ctx, "gpu-1", messages.DeleteJob{WorkerID: "w1", PID: 12345, GraceMS: 7},
		func(e messages.Event) { told = append(told, e.Action) })
	require.NoError(t, err)
	require.Equal(t, []messages.Action{messages.ActionDeleteStart, messages.ActionDeleteSigterm, messages.ActionDeleteComplete}, told)
	job := <-sent
	require.NoError(t, messages.CheckID(job.JobID))
	require.Equal(t, messages.DeleteJob{
		Operation: messages.WorkerDelete, JobID: job.JobID, HiveID: "gpu-1", WorkerID: "w1", PID: 12345, GraceMS: 7, Deadline: limit.UTC(),
	}, job)
	require.Equal(t, messages.Deleted{
		JobID: job.JobID, HiveID: "gpu-1", WorkerID: "w1", PID: 12345, Signal: "SIGTERM", TookMS: 5, Processes: 3,
	}, deleted)
	require.Equal(t, 1, nc.NumSubscriptions(), "only the inbox is left")
}

func TestDeleteReturnsTheErrorOfTheHive(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	var h *hive
	h = playDeletes(t, srv.URL(), func(req *nats.Msg, job messages.DeleteJob) {
		h.reply(req, messages.Failure{JobID: job.JobID, HiveID: h.id, Err: messages.Errorf(messages.WorkerConflict, "pid is 8")})
	})
	client, _ := connect(t, srv.URL())
	deleted, err := client.Delete(patient(t), "gpu-1", messages.DeleteJob{JobID: "job-1", WorkerID: "w1", PID: 7}, nil)
	require.ErrorIs(t, err, messages.WorkerConflict)
	require.Equal(t, messages.Deleted{JobID: "job-1", HiveID: "gpu-1"}, deleted)
}

func TestDeleteWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	playDeletes(t, srv.URL(), func(*nats.Msg, messages.DeleteJob) { cancel() })
	client, _ := connect(t, srv.URL())
	_, err := client.Delete(ctx, "gpu-1", messages.DeleteJob{JobID: "job-1", WorkerID: "w1"}, nil)
	lost, ok := errors.AsType[*queen.NoAnswerError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, messages.WorkerDelete, lost.Operation)
	require.ErrorContains(t, err, "to answer job job-1: context canceled; its worker may be gone all the same")

	for what, job := range map[string]messages.DeleteJob{
		"worker_id: ": {}, "pid: ": {WorkerID: "w1", PID: 1}, "hive_id: ": {WorkerID: "w1", HiveID: "gpu-2"},
	} {
		_, err := client.Delete(patient(t), "gpu-1", job, nil)
		require.ErrorContains(t, err, what)
	}
	_, err = client.Delete(patient(t), "gpu-9", messages.DeleteJob{WorkerID: "w1"}, nil)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

// playDeletes subscribes hive gpu-1, which handles each delete with do.
func playDeletes(tb testing.TB, url string, do func(req *nats.Msg, job messages.DeleteJob)) *hive {
	tb.Helper()
	h := &hive{tb: tb, nc: natstest.Dial(tb, url), id: "gpu-1"}
	_, err := h.nc.Subscribe(h.subjects.Request(h.id, messages.WorkerDelete), func(req *nats.Msg) {
		do(req, read(tb, req.Data, messages.WorkerDelete, messages.DecodeDelete))
	})
	require.NoError(tb, err)
	require.NoError(tb, h.nc.Flush())
	return h
}

func TestEveryQuestionIsAsked(t *testing.T) {
	t.Parallel()
	client, _ := connect(t, natstest.Server(t).URL())
	asked := []messages.Operation{messages.WorkerSpawn, messages.WorkerDelete}
	for op := range questions(client) {
		asked = append(asked, op)
	}
	slices.Sort(asked)
	known := slices.Clone(messages.Operations)
	slices.Sort(known)
	require.Equal(t, known, asked)
}
