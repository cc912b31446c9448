//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// One job at work and one in line are all that this hive takes.
func TestABusyHiveRefusesAtOnceAndKeepsDeadlines(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.serve("RBEE_MAX_JOBS=1", "RBEE_MAX_WAITING=1")
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	open := m.gate()
	working := wire.send("gpu-1", m.gated("at-work"))

	deadline := time.Now().Add(50 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	late := wire.send("gpu-1", `{"job_id":"late","deadline":"`+deadline+`","model":"m","device":"cpu"}`)
	f := wire.failure(late, "deadline_exceeded", "408")
	require.Contains(t, f.Message, deadline)
	require.False(t, f.Retryable)

	waiting := wire.send("gpu-1", jobFor("in-line", "m"))
	busy := wire.refused("gpu-1", "worker_spawn", jobFor("too-many", "m"), "hive_busy", "503")
	require.True(t, busy.Retryable)

	open()
	require.Nil(t, wire.answer(working).Error)
	require.Nil(t, wire.answer(waiting).Error)
	spawn(t, wire.nc, "gpu-1", jobFor("too-many", "m")) // later
	requireStarts(t, map[string]int{"at-work": 1, "in-line": 1, "too-many": 1}, m)
}

// A worker that another process is starting is waited for, and not for ever.
func TestAWorkerThatIsBeingStartedElsewhere(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	require.NoError(t, os.Mkdir(m.path("run", "workers", "w1"), 0o700))
	lock, err := os.OpenFile(m.path("run", "workers", "w1", "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer lock.Close()
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))

	job := `{"job_id":"job-1","worker_id":"w1","model":"m","device":"cpu"}`
	f := wire.refused("gpu-1", "worker_spawn", job, "hive_busy", "503")
	require.Contains(t, f.Message, "w1")
	require.True(t, f.Retryable)
	require.NoError(t, lock.Close())
	spawn(t, wire.nc, "gpu-1", job)
}

func TestAMachineWithoutAFreePort(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.serve("RBEE_PORT_RANGE=" + strconv.Itoa(m.first))
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	first := spawn(t, wire.nc, "gpu-1", jobFor("first", "m"))
	require.Equal(t, m.first, first.Port)

	f := wire.refused("gpu-1", "worker_spawn", jobFor("second", "m"), "no_free_port", "503")
	require.True(t, f.Retryable)
	require.Contains(t, f.Message, strconv.Itoa(m.first))

	require.NoError(t, syscall.Kill(first.PID, syscall.SIGKILL))
	wire.event("rbee.v1.narration.gpu-1.@worker.worker_exited")
	require.Equal(t, m.first, spawn(t, wire.nc, "gpu-1", jobFor("second", "m")).Port)
}

// What the system refuses is told apart from what is wrong with the binary, and what is wrong with the hive from both.
func TestAMachineOutOfOrder(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	hive := m.serve("RBEE_WORK_DIR=" + m.path("nowhere"))
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	f := wire.refused("gpu-1", "worker_spawn", jobFor("job-1", "m"), "spawn_failed", "500")
	require.Contains(t, f.Message, m.path("nowhere"))

	require.NoError(t, os.Rename(m.path("run", "workers"), m.path("run", "gone")))
	f = wire.refused("gpu-1", "worker_spawn", jobFor("job-2", "m"), "internal", "500")
	require.Contains(t, f.Message, m.path("run", "workers"))
	require.Empty(t, m.starts())

	require.NoError(t, os.Rename(m.path("run", "gone"), m.path("run", "workers")))
	require.NoError(t, os.Mkdir(m.path("nowhere"), 0o700))
	spawn(t, wire.nc, "gpu-1", jobFor("job-1", "m")) // what never started may start now
	require.True(t, alive(hive.PID()))
}

// A hive that may open no more files refuses what it could do a moment later, and says so, wherever it runs out of them.
func TestAHiveWithoutRoomForFiles(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	h := m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	var usual unix.Rlimit
	require.NoError(t, unix.Prlimit(h.PID(), unix.RLIMIT_NOFILE, nil, &usual))
	allow := func(files uint64) {
		require.NoError(t, unix.Prlimit(h.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: usual.Max}, nil))
	}

	refused := 0
	for files := uint64(3); ; files++ { // the first free number decides: some are refused for one reason, some for the next
		require.Less(t, files, usual.Cur)
		job := jobFor(fmt.Sprintf("job-%d", files), "m")
		now := time.Now()
		require.NoError(t, os.Chtimes(m.path("catalog"), now, now)) // so that it is read again
		require.NoError(t, os.Chtimes(m.entry(cpuWorker, "0.1.0"), now, now))
		allow(files)
		a, err := request(t.Context(), wire.nc, "gpu-1", job)
		require.NoError(t, err)
		if a.Error == nil {
			break
		}
		refused++
		require.Contains(t, a.Error.Message, "too many open files")
		require.Equal(t, "spawn_failed", a.Error.Code, a.Error)
		require.True(t, a.Error.Retryable, a.Error)
		allow(usual.Cur)
		later := spawn(t, wire.nc, "gpu-1", job)
		require.NoError(t, syscall.Kill(later.PID, syscall.SIGKILL))
		wire.event("rbee.v1.narration.gpu-1.@worker.worker_exited")
	}
	require.GreaterOrEqual(t, refused, 5)
}
