//go:build unix

package main

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// Under the permissions that a fleet is deployed with, a hive and a queen get along with their names and passwords alone.
func TestServeUnderDeployedPermissions(t *testing.T) {
	for _, name := range []string{"QUEEN", "OBSERVER", "ADMIN", "HIVE_GPU_1", "HIVE_GPU_2"} {
		t.Setenv(name+"_PASSWORD", "pw-"+name)
	}
	server, err := natsd.Start(natsd.Config{ConfigFile: filepath.Join("..", "..", "deploy", "nats-server.conf"), StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	m := newMachine(t)
	m.install(t, "cpu-llm-worker-rbee", sleeper)
	hive := m.serve(t, "NATS_URL="+server.URL(), "RBEE_HIVE_ID=gpu-1", "NATS_USER=hive-gpu-1", "NATS_PASSWORD=pw-HIVE_GPU_1")
	hive.Await(`ready: rbee\.v1\.hive\.gpu-1\.worker_spawn`)

	nc, err := natsconn.Connect(t.Context(), natsconn.Config{Server: server.URL(), User: "queen", Password: "pw-QUEEN"}, natsconn.Options{})
	require.NoError(t, err)
	defer nc.Close()
	client := queen.New(nc, queen.Config{})
	hives, err := client.Hives(t.Context())
	require.NoError(t, err)
	require.Len(t, hives, 1)
	require.Equal(t, "gpu-1", hives[0].ID)
	var last messages.Action
	result, err := client.Spawn(t.Context(), "gpu-1", messages.Job{Model: "m", Device: "cpu"}, func(e messages.Event) { last = e.Action })
	require.NoError(t, err)
	require.True(t, alive(result.PID))
	require.Equal(t, messages.ActionSpawnComplete, last)

	hive.Signal(syscall.SIGTERM)
	code, said := hive.Exit()
	require.Equal(t, 0, code, said)
	require.NotContains(t, said, "permit")
}
