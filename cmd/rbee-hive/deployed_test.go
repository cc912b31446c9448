//go:build unix

package main

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/proctest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// deployed runs the server as a fleet is deployed with it, and returns its URL and what connects a user.
func deployed(t *testing.T) (url string, as func(user string) *queen.Client) {
	t.Helper()
	for _, name := range []string{"QUEEN", "OBSERVER", "ADMIN", "HIVE_GPU_1", "HIVE_GPU_2"} {
		t.Setenv(name+"_PASSWORD", "pw-"+name)
	}
	server, err := natsd.Start(natsd.Config{ConfigFile: filepath.Join("..", "..", "deploy", "nats-server.conf"), StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	passwords := map[string]string{"queen": "pw-QUEEN", "admin": "pw-ADMIN"}
	return server.URL(), func(user string) *queen.Client {
		nc, err := natsconn.Connect(t.Context(), natsconn.Config{Server: server.URL(), User: user, Password: passwords[user]}, natsconn.Options{})
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		return queen.New(nc, queen.Config{})
	}
}

// Under the permissions that a fleet is deployed with, a hive and a queen get along with their names and passwords alone.
func TestServeUnderDeployedPermissions(t *testing.T) {
	url, as := deployed(t)
	m := newMachine(t)
	m.install(t, "cpu-llm-worker-rbee", sleeper)
	serve := func(mode string) *proctest.Proc {
		hive := m.serve(t, "NATS_URL="+url, "RBEE_HIVE_ID=gpu-1", "NATS_USER=hive-gpu-1", "NATS_PASSWORD=pw-HIVE_GPU_1", "RBEE_QUEUE="+mode)
		hive.Await(`ready: rbee\.v1\.hive\.gpu-1\.worker_spawn`)
		return hive
	}
	end := func(hive *proctest.Proc) {
		hive.Signal(syscall.SIGTERM)
		code, said := hive.Exit()
		require.Equal(t, 0, code, said)
		require.NotContains(t, said, "does not permit")
		require.NotContains(t, said, "Permissions Violation")
	}
	hive, client := serve("auto"), as("queen")

	// Without the streams, by request.
	hives, err := client.Hives(t.Context())
	require.NoError(t, err)
	require.Len(t, hives, 1)
	require.Equal(t, "gpu-1", hives[0].ID)
	status, err := client.Status(t.Context(), "gpu-1")
	require.NoError(t, err)
	require.Empty(t, status.Queue)
	var last messages.Action
	job := messages.Job{JobID: "asked", Model: "m", Device: "cpu"}
	result, err := client.Spawn(t.Context(), "gpu-1", job, func(e messages.Event) { last = e.Action })
	require.NoError(t, err)
	require.True(t, alive(result.PID))
	require.Equal(t, messages.ActionSpawnComplete, last)
	end(hive)

	// With them: what waits is run, once, and a restart forgets nothing.
	_, err = as("admin").Apply(t.Context(), queen.StreamsConfig{}, false)
	require.NoError(t, err)
	job.JobID = "queued"
	_, err = client.Enqueue(t.Context(), "gpu-1", job)
	require.NoError(t, err)
	hive = serve("required")
	status, err = client.Status(t.Context(), "gpu-1")
	require.NoError(t, err)
	require.Equal(t, "RBEE_JOBS", status.Queue)
	var told []messages.Action
	result, err = client.Await(t.Context(), "gpu-1", "queued", func(e messages.Event) { told = append(told, e.Action) })
	require.NoError(t, err)
	require.True(t, alive(result.PID))
	require.Equal(t, messages.ActionSpawnComplete, told[len(told)-1])
	_, err = client.Pause(t.Context(), "gpu-1", time.Hour)
	require.NoError(t, err)
	end(hive)

	hive = serve("required")
	again, err := client.Spawn(t.Context(), "gpu-1", job, nil)
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, result.PID, again.PID)
	job.JobID, job.Worker = "failing", "no-such-worker"
	require.NoError(t, client.Resume(t.Context(), "gpu-1"))
	_, err = client.Enqueue(t.Context(), "gpu-1", job)
	require.NoError(t, err)
	_, err = client.Await(t.Context(), "gpu-1", "failing", nil)
	require.ErrorIs(t, err, messages.WorkerNotInstalled)
	receipt, err := client.EnqueueDelete(t.Context(), "gpu-1", messages.DeleteJob{WorkerID: result.WorkerID, PID: result.PID})
	require.NoError(t, err)
	deleted, err := client.AwaitDelete(t.Context(), "gpu-1", receipt.JobID, nil)
	require.NoError(t, err)
	require.Equal(t, result.PID, deleted.PID)
	end(hive)
}
