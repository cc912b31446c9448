//go:build linux

package spawner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// TestMain lets the test binary play the workers: it is installed in the catalogs of the tests under the contract's
// names, and begins with the contract's first argument when a spawner starts it.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "nvidia-smi" {
		playSMI(filepath.Dir(os.Args[0]))
	}
	if len(os.Args) > 1 && os.Args[1] == "--worker-id" {
		os.Exit(play(os.Args[4], os.Args[8]))
	}
	if filepath.Base(os.Args[0]) == "cargo" {
		syscall.Exit(playCargo(os.Args[1:])) // os.Exit takes a second under the race detector
	}
	leaktest.Main(m)
}

// hive is a spawner on a machine of its own.
type hive struct {
	*spawner.Spawner
	t      *testing.T
	cfg    spawner.Config
	exited chan messages.Event

	mu   sync.Mutex
	pids []int
}

// patience bounds every wait of a test for something that must happen.
const patience = time.Minute

const cpuWorker = "cpu-llm-worker-rbee"

// newHive returns a hive whose catalog holds the test binary as the workers for cpu and cuda. Its workers are dead when
// the test ends.
func newHive(t *testing.T, change func(*spawner.Config)) *hive {
	t.Helper()
	dir := t.TempDir()
	h := &hive{t: t, exited: make(chan messages.Event, 1000)}
	h.cfg = spawner.Config{
		HiveID: "gpu-1", RunDir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log"),
		CatalogDir: filepath.Join(dir, "catalog"), Ports: ports(t, 49), Watch: 20 * time.Millisecond,
		Exited: func(e messages.Event) { h.exited <- e },
	}
	if change != nil {
		change(&h.cfg)
	}
	h.install(cpuWorker, "0.1.0")
	h.install("cuda-llm-worker-rbee", "0.1.0")
	h.open()
	t.Cleanup(h.stop)
	return h
}

// ports returns as many ports that no other test has.
func ports(tb testing.TB, n int) spawner.PortRange {
	tb.Helper()
	first, last := porttest.Lease(tb, n)
	return spawner.PortRange{First: first, Last: last}
}

func (h *hive) open() {
	h.t.Helper()
	var err error
	h.Spawner, err = spawner.New(h.cfg)
	require.NoError(h.t, err)
}

// stop kills what was started, waits for it, and closes the spawner.
func (h *hive) stop() {
	for _, pid := range h.pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range h.pids {
		require.Eventually(h.t, func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) }, patience, time.Millisecond)
	}
	require.NoError(h.t, h.Close())
}

// zombie reports whether the process has ended and waits for its parent, which is this process after a hive was closed.
func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil && !strings.Contains(string(data), ") Z ") {
		return false
	}
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // the first may have ended before the others
	return len(threads) <= 1
}

// install puts the test binary into the catalog.
func (h *hive) install(name, version string) string {
	h.t.Helper()
	self, err := os.Executable()
	require.NoError(h.t, err)
	path := h.entry(name, version)
	require.NoError(h.t, os.Link(self, path))
	return path
}

// entry makes the directory of a catalog entry and returns the path of its binary.
func (h *hive) entry(name, version string) string {
	h.t.Helper()
	dir := filepath.Join(h.cfg.CatalogDir, name+"-v"+version+"-"+runtime.GOOS)
	require.NoError(h.t, os.MkdirAll(dir, 0o755))
	return filepath.Join(dir, name)
}

// told is what a job told and answered.
type told struct {
	events []messages.Event
	result messages.Result
	err    *messages.Error
	waited int
}

// job returns a job for the model on the cpu.
func job(id, model string) messages.Job {
	return messages.Job{
		Operation: messages.WorkerSpawn, JobID: id, HiveID: "gpu-1", WorkerID: messages.WorkerID("gpu-1", id), Model: model, Device: "cpu",
	}
}

// spawn runs the job.
func (h *hive) spawn(j messages.Job) told {
	h.t.Helper()
	var out told
	var mu sync.Mutex
	result, err := h.Spawn(h.t.Context(), j, func(e messages.Event) {
		mu.Lock()
		defer mu.Unlock()
		out.events = append(out.events, e)
		if e.Action == messages.ActionSpawned {
			h.started(e.Fields.PID)
		}
	}, func() func(context.Context) error { out.waited++; return nil })
	if err != nil {
		out.err = messages.AsError(err)
	}
	for _, e := range out.events {
		requireDocumented(h.t, e)
	}
	out.result = result
	return out
}

// started has the worker killed when the test ends.
func (h *hive) started(pid int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pids = append(h.pids, pid)
}

func (o told) actions() []messages.Action {
	actions := make([]messages.Action, len(o.events))
	for i, e := range o.events {
		actions[i] = e.Action
	}
	return actions
}

func (o told) humans() string {
	var b strings.Builder
	for _, e := range o.events {
		b.WriteString(e.Human + "\n")
	}
	return b.String()
}

// awaitLog waits until the worker's log holds the text and returns the whole log.
func awaitLog(t *testing.T, path, text string) string {
	t.Helper()
	var data []byte
	require.Eventually(t, func() bool {
		data, _ = os.ReadFile(path)
		return strings.Contains(string(data), text)
	}, patience, time.Millisecond)
	return string(data)
}

// holdsNothing is what a job is told to call that has no slot to give back.
func holdsNothing() func(context.Context) error { return nil }
