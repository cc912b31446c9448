//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/internal/proctest"
	"github.com/rbee-keeper/hive/messages"
)

// sleeper is a worker that does nothing for a long time.
const sleeper = "exec sleep 1000\n"

// spawn sends a job to the hive and returns its answer.
func spawn(t *testing.T, nc *nats.Conn, job messages.Job) (messages.Result, error) {
	t.Helper()
	job.Operation = messages.WorkerSpawn
	data, err := job.Encode()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Patience)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, messages.Subjects{}.Request("test", messages.WorkerSpawn), data)
	require.NoError(t, err)
	return messages.DecodeResult(msg.Data)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestServeTakesJobsUntilItIsTold(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	nc := natstest.Dial(t, server.URL())
	m := newMachine(t)
	m.install(t, "cpu-llm-worker-rbee", sleeper)
	hive := m.serve(t, "NATS_URL="+server.URL())
	hive.Await(`^rbee-hive test ready: rbee\.v1\.hive\.test\.worker_spawn on nats://127\.0\.0\.1:\d+$`)

	result, err := spawn(t, nc, messages.Job{Model: "m", Device: "cpu"})
	require.NoError(t, err)
	hive.Signal(syscall.SIGTERM)
	code, said := hive.Exit()
	require.Equal(t, 0, code, said)
	require.True(t, alive(result.PID), "workers go on")
}

// A hive that is killed forgets nothing: its workers go on, the same job starts no second one, and their end is told.
func TestServeAfterAKill(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	nc := natstest.Dial(t, server.URL())
	m := newMachine(t)
	m.install(t, "cpu-llm-worker-rbee", sleeper)
	job := messages.Job{JobID: "job-1", WorkerID: "worker-1", Model: "m", Device: "cpu"}

	hive := m.serve(t, "NATS_URL="+server.URL())
	hive.Await(`ready: `)
	before, err := spawn(t, nc, job)
	require.NoError(t, err)
	hive.Signal(syscall.SIGKILL)
	hive.Exit()
	require.True(t, alive(before.PID))

	exited, err := nc.SubscribeSync(messages.Subjects{}.Narration("test", messages.AboutWorker, messages.ActionExited))
	require.NoError(t, err)
	hive = m.serve(t, "NATS_URL="+server.URL())
	hive.Await(`ready: `)
	after, err := spawn(t, nc, job)
	require.NoError(t, err)
	require.Equal(t, before.PID, after.PID)
	require.True(t, after.Replayed)

	require.NoError(t, syscall.Kill(after.PID, syscall.SIGTERM))
	msg, err := exited.NextMsg(proctest.Patience)
	require.NoError(t, err)
	event, err := messages.DecodeEvent(msg.Data)
	require.NoError(t, err)
	require.Equal(t, "worker-1", event.WorkerID)
}

func TestServeWaitsForNATS(t *testing.T) {
	t.Parallel()
	port := porttest.One(t)
	hive := newMachine(t).serve(t, fmt.Sprintf("NATS_URL=nats://hive:secret@127.0.0.1:%d", port))
	hive.Await(`WRN NATS is away, waiting for it server=nats://127\.0\.0\.1:\d+ .*retry_in=`)
	server := natstest.Start(t, natsd.Config{Port: port})
	hive.Await(`ready: `)

	server.Shutdown()
	hive.Await(`WRN NATS is away, waiting for it err=`)
	natstest.Start(t, natsd.Config{Port: port})
	hive.Await(`INF NATS is back`)
	hive.Signal(os.Interrupt)
	code, said := hive.Exit()
	require.Equal(t, 0, code, said)
	require.NotContains(t, said, "secret")
}

func TestServeSaysThatItsCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(conf, []byte(`authorization { users: [{user: hive, password: right}] }`), 0o600))
	server, err := natsd.Start(natsd.Config{ConfigFile: conf})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)

	hive := newMachine(t).serve(t, "NATS_URL="+server.URL(), "NATS_USER=hive", "NATS_PASSWORD=wrong")
	hive.Await(`ERR NATS refuses the credentials, trying again .*check user hive and its password against the users`)
	hive.Signal(syscall.SIGTERM)
	code, said := hive.Exit()
	require.Equal(t, 0, code, said)
	require.NotContains(t, said, "wrong")
}

// The second signal ends the hive although a job still waits for its worker.
func TestServeEndsAtOnceWhenToldTwice(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	nc := natstest.Dial(t, server.URL())
	m := newMachine(t)
	m.install(t, "cpu-llm-worker-rbee", sleeper)
	hive := m.serve(t, "NATS_URL="+server.URL())
	hive.Await(`ready: `)

	told, err := nc.SubscribeSync(messages.Subjects{}.Narration("test", "", ""))
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	job := messages.Job{Operation: messages.WorkerSpawn, Model: "m", Device: "cpu", Wait: messages.WaitReady}
	data, err := job.Encode()
	require.NoError(t, err)
	require.NoError(t, nc.Publish(messages.Subjects{}.Request("test", messages.WorkerSpawn), data))
	awaitAction(t, told, messages.ActionSpawned)

	hive.Signal(syscall.SIGTERM)
	awaitAction(t, told, messages.ActionHiveDraining)
	hive.Signal(syscall.SIGTERM)
	code, said := hive.Exit()
	require.Equal(t, 130, code, said)
}

func awaitAction(t *testing.T, told *nats.Subscription, action messages.Action) {
	t.Helper()
	for {
		msg, err := told.NextMsg(proctest.Patience)
		require.NoError(t, err, "no %s", action)
		if strings.HasSuffix(msg.Subject, "."+string(action)) {
			return
		}
	}
}

func TestServeGivesWorkersOnlyWhatTheyMayHave(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	nc := natstest.Dial(t, server.URL())
	m := newMachine(t)
	m.install(t, "cpu-llm-worker-rbee", "env\nexit 3\n")
	hive := m.serve(t, "NATS_URL="+server.URL(), "NATS_TOKEN=secret-token", "HF_TOKEN=passed-on", "OTHER_TOKEN=kept-back", "RBEE_PASS_ENV=HF_TOKEN", "RBEE_WATCH=30s")
	hive.Await(`ready: `)
	_, err := spawn(t, nc, messages.Job{Model: "m", Device: "cpu"})
	require.ErrorIs(t, err, messages.WorkerExited)
	logs, err := filepath.Glob(filepath.Join(m.dir, "logs", "*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	log, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	require.Contains(t, string(log), "HF_TOKEN=passed-on\n")
	require.Contains(t, string(log), "RBEE_HIVE_ID=test\n")
	for _, hidden := range []string{"NATS_", "secret-token", "kept-back", "RBEE_RUN_DIR"} {
		require.NotContains(t, string(log), hidden)
	}
}
