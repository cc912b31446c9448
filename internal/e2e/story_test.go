//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

func TestOneJobFromTheRequestToTheWorker(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.*.job-1.>", "rbee.v1.result.>", "_INBOX.>")
	nc := natstest.Dial(t, server.URL())
	port := m.first + 7

	msg, err := nc.Request("rbee.v1.hive.gpu-1.worker_spawn", fmt.Appendf(nil, `{
		"operation": "worker_spawn", "job_id": "job-1", "hive_id": "gpu-1", "model": "meta-llama/Llama-3-8b",
		"device": "CPU-0", "worker_id": "worker-abc123", "port": %d, "queen_url": "http://localhost:8500"
	}`, port), patience)
	require.NoError(t, err)

	// The answer.
	a, err := answerFrom(msg)
	require.NoError(t, err)
	require.Nil(t, a.Error)
	bin := m.path("catalog", "cpu-llm-worker-rbee-v0.1.0-linux", "cpu-llm-worker-rbee")
	require.WithinDuration(t, time.Now(), a.StartedAt, time.Minute)
	require.Equal(t, answer{
		JobID: "job-1", HiveID: "gpu-1", WorkerID: "worker-abc123", PID: a.PID, Port: port, BinaryPath: bin, WorkerType: "CpuLlm",
		Worker: "cpu-llm-worker-rbee", Version: "0.1.0", Source: "catalog", Device: "CPU-0", Model: "meta-llama/Llama-3-8b",
		StartedAt: a.StartedAt, LogPath: m.path("logs", "worker-abc123.job-1.log"), header: a.header,
	}, a)
	require.Equal(t, nats.Header{"Rbee-Job-Id": {"job-1"}, "Rbee-Hive-Id": {"gpu-1"}}, msg.Header)

	// The story, all of it before the answer. The texts are those of the seeds, to the letter.
	told := []struct{ action, human string }{
		{"worker_spawn_start", "🚀 Spawning worker 'worker-abc123' for model 'meta-llama/Llama-3-8b' on device 'CPU-0' port <port>"},
		{"worker_type_determined", "Worker type: CpuLlm (device: CPU-0)"},
		{"worker_binary_catalog", "Found in the catalog: cpu-llm-worker-rbee 0.1.0"},
		{"worker_binary_found", "Worker binary: <path>"},
		{"worker_spawn_command", "Command: <path> --worker-id worker-abc123 --model meta-llama/Llama-3-8b --device CPU-0 --port <port> --queen-url http://localhost:8500"},
		{"worker_spawned", "✅ Worker 'worker-abc123' spawned (PID: <pid>, port: <port>)"},
		{"worker_spawn_complete", "✅ Worker spawned: worker-abc123 (PID: <pid>)"},
	}
	ids := map[string]bool{}
	for i, want := range told {
		heard := wire.next("")
		require.Equal(t, "rbee.v1.narration.gpu-1.job-1."+want.action, heard.Subject)
		e := eventFrom(t, heard)
		require.Equal(t, fill(want.human, port, bin, a.PID), e.Human)
		require.Equal(t, event{
			Type: "io.rbee.hive.v1.narration", ID: e.ID, Seq: i + 1, Time: e.Time, Level: "info", Actor: "rbee-hive", Action: want.action,
			Target: "worker-abc123", HiveID: "gpu-1", JobID: "job-1", WorkerID: "worker-abc123", Attempt: 1,
			Terminal: i == len(told)-1, Human: e.Human, Fields: e.Fields,
		}, e)
		ids[e.ID] = true
	}
	require.Len(t, ids, len(told))
	result := wire.next("")
	require.Equal(t, "rbee.v1.result.gpu-1.job-1", result.Subject)
	require.Equal(t, msg.Data, result.Data)
	require.Equal(t, msg.Header, result.Header)
	require.Equal(t, msg.Subject, wire.next("").Subject)

	// The worker.
	require.True(t, alive(a.PID))
	require.Equal(t, []start{{"job-1", "worker-abc123", a.PID}}, m.starts())
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", a.PID))
	require.NoError(t, err)
	require.Equal(t, fill("<path> --worker-id worker-abc123 --model meta-llama/Llama-3-8b --device CPU-0 --port <port> --queen-url http://localhost:8500 ", port, bin, 0),
		strings.ReplaceAll(string(args), "\x00", " "))
}

// fill puts the port, the path and the pid into a text, which need not have them all.
func fill(text string, port int, path string, pid int) string {
	return strings.NewReplacer("<port>", strconv.Itoa(port), "<path>", path, "<pid>", strconv.Itoa(pid)).Replace(text)
}

// A job says two things at least; the hive fills in the rest and says so.
func TestTheLeastJob(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.serve()
	nc := natstest.Dial(t, server.URL())
	a := spawn(t, nc, "gpu-1", `{"model":"m","device":"cpu"}`)
	require.Regexp(t, `^job-[0-9a-f-]{36}$`, a.JobID)
	require.Regexp(t, `^worker-[0-9a-f-]{36}$`, a.WorkerID)
	require.True(t, m.first <= a.Port && a.Port <= m.last, "port %d of %d-%d", a.Port, m.first, m.last)
	b := spawn(t, nc, "gpu-1", `{"model":"m","device":"cpu"}`)
	require.NotEqual(t, a.PID, b.PID, "without a job id each request is a job of its own")
	require.NotEqual(t, a.Port, b.Port)
	require.Len(t, m.starts(), 2)
}

// Whoever waits for a worker that serves is told when it does, and that it is the one.
func TestAJobThatWaitsForItsWorker(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "reply.>")
	reply := wire.send("gpu-1", `{"job_id":"job-1","model":"m","device":"cpu","wait":"ready"}`)
	var actions []string
	for _, e := range wire.story("gpu-1", "job-1") {
		actions = append(actions, e.Action)
	}
	require.Equal(t, []string{"worker_spawned", "worker_ready", "worker_spawn_complete"}, actions[len(actions)-3:])
	require.Nil(t, wire.answer(reply).Error)
}

// Discovery finds the hive by the name of its service, as every NATS tool does.
func TestAHiveIsFound(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	newMachine(t, server.URL(), "gpu-1", 40).serve()
	msg, err := natstest.Dial(t, server.URL()).Request("$SRV.PING.rbee-hive", nil, patience)
	require.NoError(t, err)
	var found struct {
		Metadata map[string]string `json:"metadata"`
	}
	require.NoError(t, json.Unmarshal(msg.Data, &found))
	require.Equal(t, "gpu-1", found.Metadata["hive_id"])
	require.Equal(t, "rbee.v1", found.Metadata["prefix"])
}
