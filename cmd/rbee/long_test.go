//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/devstack"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/internal/proctest"
	"github.com/rbee-keeper/hive/messages"
)

// startStack starts a fleet with a worker installed and returns it with the variables that lead to it.
func startStack(t *testing.T) (stack *devstack.Stack, dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, devstack.Install(dir, llmWorker, workerVersion))
	first, last := porttest.Lease(t, 40)
	stack, err := devstack.Start(t.Context(), devstack.Config{Dir: dir, Ports: devstack.Ports(first, last)})
	require.NoError(t, err)
	t.Cleanup(func() {
		killWorkers(t.Fatalf, filepath.Join(dir, "run"))
		require.NoError(t, stack.Stop())
	})
	return stack, dir, []string{"NATS_URL=" + stack.NATSURL(), "RBEE_QUEEN_URL=" + stack.QueenURL()}
}

// installSlow installs the worker slow, which is never ready.
func installSlow(t *testing.T, dir string) {
	t.Helper()
	entry := filepath.Join(devstack.CatalogDir(dir), "slow-v1.0.0-"+runtime.GOOS)
	require.NoError(t, os.Mkdir(entry, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(entry, "slow"), []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755))
}

func TestWatchFollowsUntilInterrupted(t *testing.T) {
	t.Parallel()
	_, _, env := startStack(t)
	all := proctest.Start(t, env, "rbee", "watch")
	all.Await(`^watching rbee\.v1\.narration\.\*\.\*\.\* \(Ctrl-C ends it\)$`)
	lines := proctest.Start(t, env, "rbee", "watch", "-o", "json", "--action", string(messages.ActionSpawned), "--hive", "local")
	lines.Await(`^watching rbee\.v1\.narration\.local\.\*\.worker_spawned`)

	code, said := proctest.Start(t, env, "rbee", "spawn", "--model", "tiny", "--worker-id", "worker-w").Exit()
	require.Equal(t, 0, code, said)

	all.Await(`^\d\d:\d\d:\d\d local worker-w        🚀 Spawning worker 'worker-w' for model 'tiny'`)
	all.Await(`^\d\d:\d\d:\d\d local worker-w        ✅ Worker spawned: worker-w`)
	line := lines.Await(`^\{.*\}$`)[0]
	event, err := messages.DecodeEvent([]byte(line))
	require.NoError(t, err)
	require.Equal(t, messages.ActionSpawned, event.Action)
	require.Equal(t, "worker-w", event.WorkerID)

	for _, watch := range []*proctest.Proc{all, lines} {
		watch.Signal(os.Interrupt)
		code, said := watch.Exit()
		require.Equal(t, 0, code, said)
	}
}

func TestSpawnInterrupted(t *testing.T) {
	t.Parallel()
	_, dir, env := startStack(t)
	installSlow(t, dir)

	spawn := proctest.Start(t, env, "rbee", "spawn", "--model", "tiny", "--worker", "slow", "--wait", "--job-id", "job-slow")
	spawn.Await(`^local worker-[0-9a-f]{8} ✅ Worker '.*' spawned`)
	spawn.Signal(os.Interrupt)
	code, said := spawn.Exit()
	require.Equal(t, 130, code, said)
	require.Contains(t, said, "rbee: interrupted while the hive had the job; its worker may run all the same: ask again, which starts no second one: rbee spawn --hive ")

	spawn = proctest.Start(t, env, "rbee", "spawn", "--model", "tiny", "--worker", "slow", "--wait", "--timeout", "2s")
	code, said = spawn.Exit()
	require.Equal(t, 1, code, said)
	require.Regexp(t, "(not_ready|deadline_exceeded): ", said) // the latter if the time was over before the worker was started
}

func TestQueenKeepsTheRegistry(t *testing.T) {
	t.Parallel()
	queen := proctest.Start(t, nil, "rbee", "queen", "--listen", "127.0.0.1:0")
	url := queen.Await(`^queen ready: (http://127\.0\.0\.1:\d+)$`)[1]
	beat := messages.Heartbeat{Worker: messages.WorkerInfo{ID: "worker-q", ModelID: "tiny", Port: 9001, Status: messages.StatusBusy}}
	body, err := beat.Encode()
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+messages.HeartbeatPath, strings.NewReader(string(body)))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusNoContent, resp.StatusCode)

	code, said := proctest.Start(t, []string{fmt.Sprintf("NATS_URL=nats://127.0.0.1:%d", porttest.One(t))}, "rbee", "workers", "--queen-url", url).Exit()
	require.Equal(t, 0, code, said)
	require.Regexp(t, `(?m)^worker-q +busy +heard +tiny +- +- +9001 +- +- +- +\d+s ago$`, said)

	code, said = proctest.Start(t, nil, "rbee", "queen", "--listen", strings.TrimPrefix(url, "http://")).Exit()
	require.Equal(t, 1, code)
	require.Contains(t, said, "is taken: stop what listens there, or pass another --listen")

	queen.Signal(syscall.SIGTERM)
	code, said = queen.Exit()
	require.Equal(t, 0, code, said)
}

func TestDevRunsAFleetAndFindsItsWorkersAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	first, last := porttest.Lease(t, 40)
	args := []string{
		"dev", "--state-dir", dir, "--nats-port", "0", "--queen-port", "0", "--llm-worker", llmWorker,
		"--port-range", fmt.Sprintf("%d-%d", first, last),
	}
	t.Cleanup(func() { killWorkers(t.Fatalf, filepath.Join(dir, "run")) })

	dev := proctest.Start(t, nil, "rbee", args...)
	dev.Await(`^rbee dev is ready\. NATS, a queen and the hive 'local' run in this process\.$`)
	export := dev.Await(`^  export (NATS_URL=\S+) (RBEE_QUEEN_URL=\S+)$`)
	dev.Await(`^Ctrl-C stops it\.$`)
	env := export[1:]
	result := spawnJSON(t, env)
	dev.Await(`^\d\d:\d\d:\d\d worker-d        ✅ Worker spawned: worker-d`)
	worker, err := os.FindProcess(result.PID)
	require.NoError(t, err)

	code, said := proctest.Start(t, nil, "rbee", args...).Exit()
	require.Equal(t, 1, code)
	require.Contains(t, said, "another fleet runs in this state directory")

	port := env[0][strings.LastIndex(env[0], ":")+1:]
	code, said = proctest.Start(t, nil, "rbee", "dev", "--state-dir", t.TempDir(), "--nats-port", port).Exit()
	require.Equal(t, 1, code)
	require.Contains(t, said, "ports are set by --nats-port ("+port+") and --queen-port (8500)")

	dev.Signal(os.Interrupt)
	code, said = dev.Exit()
	require.Equal(t, 0, code, said)
	require.Regexp(t, fmt.Sprintf(`(?m)^  worker-d  pid %d  port %d  tiny$`, result.PID, result.Port), said)
	require.NoError(t, worker.Signal(syscall.Signal(0)), "the worker goes on")

	dev = proctest.Start(t, nil, "rbee", args...)
	env = dev.Await(`^  export (NATS_URL=\S+) (RBEE_QUEEN_URL=\S+)$`)[1:]
	again := spawnJSON(t, env)
	require.Equal(t, result.PID, again.PID)
	require.True(t, again.Replayed)
	require.NoError(t, worker.Signal(syscall.SIGTERM))
	dev.Await(`^\d\d:\d\d:\d\d worker-d        Worker 'worker-d' \(PID: \d+\) `)
}

// spawnJSON spawns the worker worker-d and returns the answer.
func spawnJSON(t *testing.T, env []string) messages.Result {
	t.Helper()
	code, said := proctest.Start(t, env, "rbee", "spawn", "--model", "tiny", "--worker-id", "worker-d", "--job-id", "job-d", "-q", "-o", "json", "--wait").Exit()
	require.Equal(t, 0, code, said)
	var result messages.Result
	require.NoError(t, json.Unmarshal([]byte(said), &result))
	return result
}

var spawnedPID = regexp.MustCompile(`spawned \(PID: (\d+),`)

// However the demo ends, nothing of it is left: no worker, no file.
func TestDemoClearsAway(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		at     string
		signal os.Signal
		times  int
		code   int
	}{
		"interrupted at its start":         {`^1\. `, os.Interrupt, 1, 130},
		"interrupted while it spawns":      {`^   🚀 `, os.Interrupt, 1, 130},
		"interrupted while it loads":       {`^4\. `, os.Interrupt, 1, 130},
		"terminated while it answers":      {`^   > `, syscall.SIGTERM, 1, 130},
		"hung up on while it answers":      {`^   > `, syscall.SIGHUP, 1, 130},
		"its reader gone":                  {`^   > `, syscall.SIGPIPE, 1, 1},
		"interrupted while it restarts":    {`^7\. `, os.Interrupt, 1, 130},
		"interrupted twice while it loads": {`^4\. `, os.Interrupt, 2, 130},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			demo := proctest.Start(t, []string{"TMPDIR=" + tmp}, "rbee", "demo", "--llm-worker", llmWorker)
			demo.Await(test.at)
			for range test.times {
				demo.Signal(test.signal)
			}
			code, said := demo.Exit()
			if code != 0 || !strings.Contains(said, "Nothing is left of it.") { // else it was over before the signal came
				require.Equal(t, test.code, code, said)
			}
			left, err := os.ReadDir(tmp)
			require.NoError(t, err)
			require.Empty(t, left)
			if found := spawnedPID.FindStringSubmatch(said); found != nil {
				requireGone(t, found[1])
			}
		})
	}
}

// requireGone checks that no process with that id is our worker.
func requireGone(t *testing.T, pid string) {
	t.Helper()
	cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline")
	if err == nil {
		require.NotContains(t, string(cmdline), "worker-demo")
	}
}

// A developer of workers needs one command beside the editor: what a job wants is built first, and nothing else is installed.
func TestDevRunsWhatIsEdited(t *testing.T) {
	t.Parallel()
	dir, root := filepath.Join(t.TempDir(), "state"), t.TempDir()
	source := filepath.Join(root, "cpu-llm-worker-rbee")
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(source, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(source, name), []byte(text), 0o600))
	}
	write("worker.json", fmt.Sprintf(`{"binary": "dist/cpu-llm-worker-rbee", "build": ["sh", "build.sh", %q], "sources": ["build.sh", "main"]}`, llmWorker))
	write("build.sh", `read -r word <main; echo "building $word"; mkdir -p dist; rm -f dist/*; cp "$1" dist/cpu-llm-worker-rbee`)
	write("main", "one\n")
	first, last := porttest.Lease(t, 40)
	t.Cleanup(func() { killWorkers(t.Fatalf, filepath.Join(dir, "run")) })
	dev := proctest.Start(t, nil, "rbee", "dev", "--state-dir", dir, "--nats-port", "0", "--queen-port", "0", "--dev-root", root,
		"--port-range", fmt.Sprintf("%d-%d", first, last))
	env := dev.Await(`^  export (NATS_URL=\S+) (RBEE_QUEEN_URL=\S+)$`)[1:]
	dev.Await(`spawn --model tiny --wait --timeout 10m$`)

	spawn := func() string {
		code, said := proctest.Start(t, env, "rbee", "spawn", "--hive", "local", "--model", "tiny", "--device", "cpu").Exit()
		require.Equal(t, 0, code, said)
		return said
	}
	require.Contains(t, spawn(), "Build: building one")
	require.Contains(t, spawn(), "Up to date: ")
	write("main", "two\n")
	require.Contains(t, spawn(), "Build: building two")
	require.NoFileExists(t, filepath.Join(dir, "workers", "cpu-llm-worker-rbee-v0.1.0-linux-amd64"))

	code, said := proctest.Start(t, nil, "rbee", "dev", "--state-dir", t.TempDir(), "--nats-port", "0", "--queen-port", "0", "--dev-root", filepath.Join(root, "nowhere")).Exit()
	require.Equal(t, 1, code)
	require.Contains(t, said, "development tree: stat ")
}
