//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
)

// What the hive knows to log in to NATS stays with the hive: it is neither in a worker's environment and arguments, nor in
// what the hive tells anybody; and no connection of the hive is open in a worker.
func TestAWorkerHoldsNothingOfTheHive(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse"
	conf := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(conf, []byte(`authorization { users: [{user: keeper, password: `+secret+`}] }`), 0o600))
	server, err := natsd.Start(natsd.Config{ConfigFile: conf})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	require.NoError(t, os.Link(filepath.Join(programs, "sleeper"), m.entry("sleeper", "1.0.0")))
	pipe, writer, err := os.Pipe()
	require.NoError(t, err)
	defer pipe.Close()
	m.inherited = []*os.File{writer, writer, writer} // 3, 4 and 5: the first two are a worker's locks
	h := m.serve("NATS_USER=keeper", "NATS_PASSWORD="+secret, "AWS_SECRET_ACCESS_KEY="+secret, "HF_TOKEN=passed-on", "RBEE_PASS_ENV=HF_TOKEN",
		"CUDA_VISIBLE_DEVICES=0", "LC_ALL=C", "NATS_CONTEXT=", "RBEE_LOG_LEVEL=debug")
	nc := natstest.Dial(t, server.URL(), nats.UserInfo("keeper", secret))
	a := spawn(t, nc, "gpu-1", `{"job_id":"job-1","worker_id":"w1","model":"mute","device":"cpu"}`)

	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", a.PID))
	require.NoError(t, err)
	got := strings.Split(strings.TrimSuffix(string(environ), "\x00"), "\x00")
	slices.Sort(got)
	require.Equal(t, []string{
		"CUDA_DEVICE_ORDER=PCI_BUS_ID", "HF_TOKEN=passed-on", "HOME=" + m.dir, "LC_ALL=C", "PATH=" + os.Getenv("PATH"),
		"RBEE_HIVE_ID=gpu-1", "RBEE_JOB_ID=job-1", fmt.Sprintf("RBEE_PORT=%d", a.Port), "RBEE_WORKER_ID=w1",
	}, got)
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", a.PID))
	require.NoError(t, err)
	require.NotContains(t, string(args), secret)

	b := spawn(t, nc, "gpu-1", `{"job_id":"job-2","worker_id":"w2","worker":"sleeper","model":"m","device":"cpu"}`)
	require.NoError(t, writer.Close())
	require.EventuallyWithT(t, func(c *assert.CollectT) { // once the shell is sleep, and that has loaded
		require.Equal(c, map[string]int{
			"/dev/null": 1, b.LogPath: 2, m.path("run", "workers", "w2", "lock"): 1, m.path("run", "ports", strconv.Itoa(b.Port)): 1,
		}, openFiles(b.PID))
	}, patience, time.Millisecond)
	require.NotContains(t, h.Said(), secret)
}

// openFiles returns how often the process has each file open.
func openFiles(pid int) map[string]int {
	open := map[string]int{}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil {
			open[target]++
		}
	}
	return open
}
