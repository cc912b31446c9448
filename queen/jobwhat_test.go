package queen_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// about is what a list says that each job is about.
func about(jobs []queen.QueuedJob) map[string]string {
	got := map[string]string{}
	for _, j := range jobs {
		got[j.JobID] = fmt.Sprintf("%s %s %s %s", j.Operation, j.WorkerID, j.Model, j.Device)
	}
	return got
}

// A failure says neither what was asked for nor of which worker. Whoever queued the job, or its story, does.
func TestJobsSaysWhatEachIsAbout(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	url, client := queue(t, queen.StreamsConfig{})
	hive := pull(t, url, "gpu-1", jetstream.ConsumerConfig{})

	for _, id := range []string{"done", "failed", "waiting"} {
		_, err := client.Enqueue(ctx, "gpu-1", named(id))
		require.NoError(t, err)
	}
	_, err := client.EnqueueDelete(ctx, "gpu-1", messages.DeleteJob{JobID: "delete", WorkerID: "worker-9"})
	require.NoError(t, err)
	require.Equal(t, "done", hive.run(ctx).JobID)
	msg, job := hive.take(ctx)
	hive.conclude(ctx, msg, job, failure("gpu-1", job, messages.PortInUse))

	// These came by request, so that nobody left a trace. What their hive told is all that there is.
	answer := func(id string, body interface{ Encode() ([]byte, error) }, events ...messages.Event) {
		for i, e := range events {
			e.HiveID, e.JobID, e.Seq, e.Attempt = "gpu-1", id, i+1, 1
			hive.publish(e)
		}
		data, err := body.Encode()
		require.NoError(t, err)
		_, err = hive.js.Publish(ctx, hive.subjects.Result("gpu-1", id), data)
		require.NoError(t, err)
	}
	no := func(id string) messages.Failure { return failure("gpu-1", named(id), messages.WorkerConflict) }
	answer("told", no("told"),
		messages.Event{Action: messages.ActionSpawnStart, WorkerID: "worker-1", Human: "x", Fields: messages.Fields{Model: "llama", Device: "cuda:0"}},
		messages.Event{Action: messages.ActionSpawnFailed, WorkerID: "worker-1", Human: "x", Terminal: true})
	answer("refused", no("refused"), messages.Event{Action: messages.ActionSpawnFailed, WorkerID: "worker-2", Human: "x", Terminal: true})
	answer("undeleted", no("undeleted"), messages.Event{Action: messages.ActionDeleteFailed, WorkerID: "worker-3", Human: "x", Terminal: true})
	answer("silent", no("silent"))
	answer("deleted", messages.Deleted{JobID: "deleted", HiveID: "gpu-1", WorkerID: "worker-4", PID: 2, Signal: "SIGTERM", Processes: 1})

	mine := job.Model + " " + job.Device
	want := map[string]string{
		"waiting":   "worker_spawn " + messages.WorkerID("gpu-1", "waiting") + " " + mine,
		"delete":    "worker_delete worker-9  ",
		"done":      "worker_spawn worker-1 " + mine,
		"failed":    "worker_spawn " + messages.WorkerID("gpu-1", "failed") + " " + mine,
		"told":      "worker_spawn worker-1 llama cuda:0",
		"refused":   "worker_spawn worker-2  ",
		"undeleted": "worker_delete worker-3  ",
		"silent":    "   ",
		"deleted":   "worker_delete worker-4  ",
	}
	require.Eventually(t, func() bool { // narration is not acknowledged: it is there soon
		page, err := client.Jobs(ctx, queen.JobFilter{})
		require.NoError(t, err)
		return about(page.Jobs)["undeleted"] == want["undeleted"]
	}, patience, time.Millisecond)
	page, err := client.Jobs(ctx, queen.JobFilter{})
	require.NoError(t, err)
	require.Equal(t, want, about(page.Jobs))
	for id := range want {
		job, err := client.Job(ctx, "", id)
		require.NoError(t, err)
		require.Equal(t, want[id], about([]queen.QueuedJob{job})[id])
	}

	// Without narration the rest is listed all the same.
	require.NoError(t, hive.js.DeleteStream(ctx, "RBEE_NARRATION"))
	page, err = client.Jobs(ctx, queen.JobFilter{})
	require.NoError(t, err)
	want["told"], want["refused"], want["undeleted"] = "   ", "   ", "   "
	require.Equal(t, want, about(page.Jobs))
}
