//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/porttest"
)

const cpuWorker = "cpu-llm-worker-rbee"

// machine is the directories and the ports of one hive's machine.
type machine struct {
	t      *testing.T
	id     string // its hive's
	server string // the URL of NATS
	dir    string // working directory of its hives and workers

	first, last int // its ports
	gatedPort   int // one more, for jobs that stop at the gate

	inherited []*os.File // what its hives have open when they start
}

// newMachine returns a machine with a number of ports or more. The worker of the tests is in its catalog. Whatever was
// started on it is dead when the test ends.
func newMachine(t *testing.T, server, id string, ports int) *machine {
	t.Helper()
	m := &machine{t: t, id: id, server: server}
	m.first, m.gatedPort = porttest.Lease(t, ports+1)
	m.last = m.gatedPort - 1
	dir, err := filepath.EvalSymlinks(t.TempDir()) // as /proc/PID/cwd shows it
	require.NoError(t, err)
	m.dir = dir
	require.NoError(t, os.Mkdir(m.path("logs"), 0o700))
	require.NoError(t, os.Link(filepath.Join(programs, "worker"), m.entry(cpuWorker, "0.1.0")))
	t.Cleanup(m.bury)
	return m
}

// environment is what the machine's hives are told. Nothing else of this process reaches them.
func (m *machine) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + m.dir, "NATS_URL=" + m.server, "RBEE_HIVE_ID=" + m.id,
		"RBEE_CATALOG_DIR=" + m.path("catalog"), "RBEE_RUN_DIR=" + m.path("run"), "RBEE_LOG_DIR=" + m.path("logs"), "RBEE_WORK_DIR=" + m.dir,
		fmt.Sprintf("RBEE_PORT_RANGE=%d-%d", m.first, m.last), "RBEE_MAX_JOBS=8", "RBEE_LOG_FORMAT=json",
	}
}

func (m *machine) path(name ...string) string {
	return filepath.Join(m.dir, filepath.Join(name...))
}

// entry makes the directory of a catalog entry and returns the path of its binary.
func (m *machine) entry(name, version string) string {
	m.t.Helper()
	dir := m.path("catalog", name+"-v"+version+"-linux")
	require.NoError(m.t, os.MkdirAll(dir, 0o755))
	return filepath.Join(dir, name)
}

// gate makes jobs that ask for the gated port stop at its lock, at work, until open is called: this process holds a lease on
// the file, and the kernel has whoever opens it wait for the end of the lease, 45 seconds at most (fcntl(2), F_SETLEASE).
func (m *machine) gate() (open func()) {
	m.t.Helper()
	file, err := os.OpenFile(m.path("run", "ports", strconv.Itoa(m.gatedPort)), os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(m.t, err)
	m.t.Cleanup(func() { file.Close() })
	_, err = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	require.NoError(m.t, err)
	return func() {
		m.t.Helper()
		require.NoError(m.t, file.Close())
	}
}

// gated returns a job that stops at the gate.
func (m *machine) gated(id string) string {
	return fmt.Sprintf(`{"job_id":%q,"model":"m","device":"cpu","port":%d}`, id, m.gatedPort)
}

// start is a worker that was started, as it says itself.
type start struct {
	job, worker string
	pid         int
}

// starts returns every worker that was started on the machine, in order.
func (m *machine) starts() []start {
	m.t.Helper()
	data, err := os.ReadFile(m.path("started"))
	if !os.IsNotExist(err) {
		require.NoError(m.t, err)
	}
	var all []start
	for line := range strings.Lines(string(data)) {
		var s start
		_, err := fmt.Sscan(line, &s.job, &s.worker, &s.pid)
		require.NoError(m.t, err, line)
		all = append(all, s)
	}
	return all
}

// startsOf returns how often each job's worker was started.
func (m *machine) startsOf() map[string]int {
	m.t.Helper()
	count := make(map[string]int)
	for _, s := range m.starts() {
		count[s.job]++
	}
	return count
}

// requireStarts requires that each job's worker was started as often as wanted, on all the machines together. A worker may
// have been answered for before it wrote down that it runs.
func requireStarts(t *testing.T, want map[string]int, machines ...*machine) {
	t.Helper()
	total := func(count map[string]int) (sum int) {
		for _, n := range count {
			sum += n
		}
		return sum
	}
	var count map[string]int
	assert.Eventually(t, func() bool {
		count = make(map[string]int)
		for _, m := range machines {
			for job, n := range m.startsOf() {
				count[job] += n
			}
		}
		return total(count) >= total(want)
	}, patience, 10*time.Millisecond)
	require.Equal(t, want, count)
}

// requireOnePerJob requires that each answered job has the one worker that it was answered with, which lives, and that it
// never had another.
func (m *machine) requireOnePerJob(answers map[string]answer) {
	m.t.Helper()
	want, once := make(map[string]int), make(map[string]int)
	for id, a := range answers {
		want[id], once[id] = a.PID, 1
	}
	requireStarts(m.t, once, m)
	living := make(map[string]int)
	for _, s := range m.starts() {
		if alive(s.pid) {
			living[s.job] = s.pid
		}
	}
	require.Equal(m.t, want, living)
}
