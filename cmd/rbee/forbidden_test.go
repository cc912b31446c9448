package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/proctest"
)

// Whom the server does not let send jobs need not wait for an answer.
func TestSpawnByAUserWhoMaySendNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats-server.conf")
	conf := `authorization { timeout: 60, users [ {user: observer, password: o, permissions: { publish: "$SRV.>", subscribe: ">" }} ] }`
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	server, err := natsd.Start(natsd.Config{ConfigFile: path})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)

	env := []string{"NATS_URL=" + server.URL()}
	spawn := proctest.Start(t, env, "rbee", "spawn", "--hive", "gpu-1", "--model", "tiny", "--timeout", "24h", "--user", "observer", "--password", "o")
	code, said := spawn.Exit()
	require.Equal(t, 1, code, said)
	require.Contains(t, said, `user "observer" may not publish on rbee.v1.hive.gpu-1.worker_spawn: have whoever runs the NATS server permit it`)
	require.NotContains(t, said, "ask again", "nothing was sent")
}
