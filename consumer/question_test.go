package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

func TestQuestionsAreAnsweredAndLeaveNothing(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	var asked []any
	r := serve(t, srv.URL(), keeper{
		list: func(_ context.Context, req messages.ListRequest) (messages.WorkerPage, error) {
			asked = append(asked, req)
			return messages.WorkerPage{HiveID: "gpu-1", Workers: workers(2, 0), Next: "w001"}, nil
		},
		get: func(_ context.Context, req messages.GetRequest) (messages.WorkerAnswer, error) {
			asked = append(asked, req)
			return messages.WorkerAnswer{HiveID: "gpu-1", Worker: workers(1, 1)[0]}, nil
		},
		logs: func(_ context.Context, req messages.LogsRequest) (messages.Logs, error) {
			asked = append(asked, req)
			return messages.Logs{HiveID: "gpu-1", WorkerID: "w000", Size: 10, Next: 10, Lines: []string{"a", "b"}, State: messages.StateReady}, nil
		},
	}, consumer.Config{Version: "1.2.3", Machine: func(context.Context) consumer.Machine {
		return consumer.Machine{Devices: messages.ParseDevices("cpu,cuda:0=L4"), Problem: "cuda:1 is lost", Workers: 7}
	}})
	w := tap(t, srv.URL())
	w.rest(t, r.nc)
	nc := dial(t, srv.URL())

	page, err := messages.DecodeWorkers(question(t, nc, "worker_list", `{"after":"w","exited":true}`).Data)
	require.NoError(t, err)
	require.Equal(t, messages.WorkerPage{HiveID: "gpu-1", Workers: workers(2, 0), Next: "w001"}, page)
	answer, err := messages.DecodeWorker(question(t, nc, "worker_get", `{"worker_id":"w000","hive_id":"gpu-1"}`).Data)
	require.NoError(t, err)
	require.Equal(t, "w000", answer.Worker.WorkerID)
	require.Len(t, answer.Worker.Failure.LogTail, 1)
	lines, err := messages.DecodeLogsAnswer(question(t, nc, "worker_logs", `{"worker_id":"w000","from":0,"limit":99}`).Data)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, lines.Lines)
	require.Equal(t, []any{
		messages.ListRequest{Operation: messages.WorkerList, After: "w", Exited: true},
		messages.GetRequest{Operation: messages.WorkerGet, WorkerID: "w000", HiveID: "gpu-1"},
		messages.LogsRequest{Operation: messages.WorkerLogs, WorkerID: "w000", From: new(int64), Limit: 99},
	}, asked)

	info, err := messages.DecodeHive(question(t, nc, "hive_status", `{}`).Data)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), info.StartedAt, patience)
	require.Contains(t, info.Platform, "/")
	require.Equal(t, messages.HiveInfo{
		HiveID: "gpu-1", Version: "1.2.3", Platform: info.Platform, Devices: messages.ParseDevices("cpu,cuda:0=L4"), DevicesProblem: "cuda:1 is lost", Workers: 7, StartedAt: info.StartedAt,
	}, info)

	require.NoError(t, nc.Publish("rbee.v1.hive.gpu-1.worker_list", []byte(`{}`))) // nobody waits for the answer
	require.NoError(t, nc.Flush())
	question(t, nc, "hive_status", `{}`)
	for _, msg := range w.rest(t, r.nc) {
		require.NotRegexp(t, `^rbee\.v1\.(narration|result)\.`, msg.Subject)
	}
}

func TestQuestionsThatAreRefused(t *testing.T) {
	t.Parallel()
	srv := natstest.Server(t)
	r := serve(t, srv.URL(), keeper{}, consumer.Config{})
	w := tap(t, srv.URL())
	w.rest(t, r.nc)
	nc := dial(t, srv.URL())
	for name, tc := range map[string]struct {
		op, body string
		code     messages.Code
		status   string
		says     string
	}{
		"list of another hive":   {"worker_list", `{"hive_id":"gpu-2"}`, messages.WrongHive, "400", "gpu-2"},
		"get of another hive":    {"worker_get", `{"hive_id":"gpu-2","worker_id":"w"}`, messages.WrongHive, "400", "gpu-2"},
		"logs of another hive":   {"worker_logs", `{"hive_id":"gpu-2","worker_id":"w"}`, messages.WrongHive, "400", "gpu-2"},
		"status of another hive": {"hive_status", `{"hive_id":"gpu-2"}`, messages.WrongHive, "400", "gpu-2"},
		"unknown field":          {"worker_list", `{"aftr":"w"}`, messages.InvalidJob, "400", "aftr"},
		"a job's field":          {"hive_status", `{"job_id":"j"}`, messages.InvalidJob, "400", "job_id"},
		"no worker":              {"worker_get", `{}`, messages.InvalidJob, "400", "worker_id"},
		"bad worker":             {"worker_logs", `{"worker_id":"../w"}`, messages.InvalidJob, "400", "worker_id"},
		"tail and place":         {"worker_logs", `{"worker_id":"w","tail":1,"from":0}`, messages.InvalidJob, "400", "tail"},
		"another operation":      {"worker_get", `{"operation":"worker_list","worker_id":"w"}`, messages.InvalidJob, "400", "operation"},
		"no JSON":                {"worker_list", `workers, please`, messages.InvalidJob, "400", "JSON"},
		"nothing":                {"worker_get", ``, messages.InvalidJob, "400", "worker_id"},
		"unknown worker":         {"worker_get", `{"worker_id":"nobody"}`, messages.WorkerNotFound, "404", "nobody"},
		"log of nobody":          {"worker_logs", `{"worker_id":"nobody"}`, messages.WorkerNotFound, "404", "nobody"},
		"no operation":           {"worker_lst", `{}`, messages.UnknownOperation, "400", "worker_list"},
	} {
		msg := question(t, nc, tc.op, tc.body)
		f := failureOf(t, msg)
		require.Equal(t, tc.code, f.Err.Code, name)
		require.Equal(t, "gpu-1", f.HiveID, name)
		require.Contains(t, f.Err.Message, tc.says, name)
		require.Equal(t, tc.status, msg.Header.Get("Nats-Service-Error-Code"), name)
		require.Equal(t, f.Err.Message, msg.Header.Get("Nats-Service-Error"), name)
	}
	for _, msg := range w.rest(t, r.nc) {
		require.NotRegexp(t, `^rbee\.v1\.(narration|result)\.`, msg.Subject)
	}
}

// Whatever there is to say, the caller gets an answer that the server takes.
func TestAnswersFitIntoOneMessage(t *testing.T) {
	t.Parallel()
	const most = 16 << 10
	srv := configured(t, "max_payload: 16KB")
	log := strings.Repeat("0123456789abcde\n", 10_000)
	serve(t, srv.URL(), keeper{
		list: func(_ context.Context, req messages.ListRequest) (messages.WorkerPage, error) {
			page := messages.WorkerPage{HiveID: "gpu-1"}
			for _, worker := range workers(500, 0) {
				if worker.WorkerID == "w007" {
					worker.Failure = workers(1, 100)[0].Failure // larger than a message by itself
				}
				if worker.WorkerID > req.After {
					page.Workers = append(page.Workers, worker)
				}
			}
			return page, nil
		},
		get: func(_ context.Context, req messages.GetRequest) (messages.WorkerAnswer, error) {
			worker := workers(1, 100)[0]
			if req.WorkerID == "endless" {
				worker.BinaryPath = strings.Repeat("x", 2*most)
			}
			return messages.WorkerAnswer{HiveID: "gpu-1", Worker: worker}, nil
		},
		logs: func(_ context.Context, req messages.LogsRequest) (messages.Logs, error) {
			answer := messages.Logs{HiveID: "gpu-1", WorkerID: req.WorkerID, Size: int64(len(log)), Next: int64(len(log)), State: messages.StateExited}
			switch {
			case req.WorkerID == "endless":
				answer.Lines = []string{strings.Repeat("ä", 4*most) + "end"}
			case req.From != nil:
				limit := req.Limit
				if limit == 0 {
					limit = 64 << 10
				}
				answer.From = *req.From
				answer.Next = min(answer.From+limit/16*16, answer.Size)
				answer.Lines = strings.Split(strings.TrimSuffix(log[answer.From:answer.Next], "\n"), "\n")
			default:
				lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
				answer.Lines = lines[len(lines)-req.Lines():]
				answer.From = answer.Size - int64(16*len(answer.Lines))
			}
			return answer, nil
		},
	}, consumer.Config{})
	nc := dial(t, srv.URL())

	var all []string
	for after, pages := "", 0; ; pages++ {
		page, err := messages.DecodeWorkers(question(t, nc, "worker_list", fmt.Sprintf(`{"after":%q}`, after)).Data)
		if after == "" {
			page, err = messages.DecodeWorkers(question(t, nc, "worker_list", `{}`).Data)
		}
		require.NoError(t, err)
		for _, worker := range page.Workers {
			all = append(all, worker.WorkerID)
		}
		if after = page.Next; after == "" {
			require.Greater(t, pages, 5)
			break
		}
	}
	require.Len(t, all, 500)
	require.IsIncreasing(t, all)

	answer, err := messages.DecodeWorker(question(t, nc, "worker_get", `{"worker_id":"w"}`).Data)
	require.NoError(t, err)
	require.Equal(t, "exited with code 1", answer.Worker.Failure.Message)
	tail := answer.Worker.Failure.LogTail
	require.Greater(t, len(tail), 5)
	require.Contains(t, tail[len(tail)-1], "0099 ")
	require.Equal(t, messages.Internal, failureOf(t, question(t, nc, "worker_get", `{"worker_id":"endless"}`)).Err.Code)

	lines, err := messages.DecodeLogsAnswer(question(t, nc, "worker_logs", `{"worker_id":"w","tail":10000}`).Data)
	require.NoError(t, err)
	require.Greater(t, len(lines.Lines), 300)
	require.Equal(t, int64(len(log)), lines.Next, "of a tail, its end")
	require.Equal(t, lines.Next-int64(16*len(lines.Lines)), lines.From)
	read := 0
	for from := int64(0); from < int64(len(log)); {
		lines, err = messages.DecodeLogsAnswer(question(t, nc, "worker_logs", fmt.Sprintf(`{"worker_id":"w","from":%d}`, from)).Data)
		require.NoError(t, err)
		require.Equal(t, from, lines.From, "of a range, its beginning")
		require.NotEmpty(t, lines.Lines)
		from, read = lines.Next, read+len(lines.Lines)
	}
	require.Equal(t, 10_000, read)

	lines, err = messages.DecodeLogsAnswer(question(t, nc, "worker_logs", `{"worker_id":"endless","tail":1}`).Data)
	require.NoError(t, err)
	require.Len(t, lines.Lines, 1)
	require.Regexp(t, `^…ä+end$`, lines.Lines[0])
	require.Greater(t, len(lines.Lines[0]), most/4)
}
