//go:build linux

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// job is a job of a load.
type job struct {
	hive, id, model string
}

func (j job) String() string { return jobFor(j.id, j.model) }

// manyJobs returns n jobs for gpu-1.
func manyJobs(n int) []job {
	jobs := make([]job, n)
	for i := range jobs {
		jobs[i] = job{hive: "gpu-1", id: fmt.Sprintf("job-%d", i), model: "m"}
	}
	return jobs
}

// spawnAll sends all jobs at once and returns their answers in the same order. All must succeed.
func spawnAll(t *testing.T, nc *nats.Conn, jobs []job) []answer {
	t.Helper()
	answers, errs := make([]answer, len(jobs)), make([]error, len(jobs))
	var group sync.WaitGroup
	for i, j := range jobs {
		group.Go(func() {
			answers[i], errs[i] = request(context.Background(), nc, j.hive, j.String())
			if failed := answers[i].Error; failed != nil {
				errs[i] = fmt.Errorf("%s: %s: %s", j.id, failed.Code, failed.Message)
			}
		})
	}
	group.Wait()
	require.NoError(t, errors.Join(errs...))
	return answers
}

// The hive has room for two descriptors of each of the 200 workers, one to wait for its end and one to see whether it
// listens, and for its own. If it kept one of each, it would not come through the third wave.
func TestTwoHundredJobsAtOnceLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	const jobs, files = 200, 500
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", jobs)
	h := m.serve()
	limit := unix.Rlimit{Cur: files, Max: files}
	require.NoError(t, unix.Prlimit(h.PID(), unix.RLIMIT_NOFILE, &limit, nil))
	wire := listen(t, server.URL(), "rbee.v1.narration.gpu-1.>")
	first := spawn(t, wire.nc, "gpu-1", jobFor("first", "m")) // opens what stays open
	require.NoError(t, syscall.Kill(first.PID, syscall.SIGKILL))
	wire.event("rbee.v1.narration.gpu-1.@worker.worker_exited")
	before, told := h.files()
	want := map[string]int{"first": 1}

	for wave := range 3 {
		requests := manyJobs(jobs)
		for i := range requests {
			requests[i].id = fmt.Sprintf("wave-%d-job-%d", wave, i)
			want[requests[i].id] = 1
		}
		answers := spawnAll(t, wire.nc, requests)
		require.Len(t, children(h.PID()), jobs)
		require.LessOrEqual(t, h.threads(), 40, "waiting for a worker takes no thread")
		ports, pids := map[int]bool{}, map[int]bool{}
		for _, a := range answers {
			require.True(t, alive(a.PID))
			ports[a.Port], pids[a.PID] = true, true
		}
		require.Len(t, ports, jobs)
		require.Len(t, pids, jobs)
		requireStarts(t, want, m)

		for pid := range pids {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
		for range jobs {
			e := wire.event("rbee.v1.narration.gpu-1.@worker.worker_exited")
			require.Equal(t, "SIGKILL", e.Fields.Signal)
			require.True(t, pids[e.Fields.PID])
			delete(pids, e.Fields.PID)
		}
		require.Empty(t, children(h.PID()), "zombies")
	}

	if told { // to root: others have the limit
		require.Eventually(t, func() bool { after, _ := h.files(); return after <= before+3 }, patience, time.Millisecond)
	}
	h.Signal(syscall.SIGQUIT) // to which the runtime of Go answers with all goroutines
	_, said := h.Exit()
	require.Less(t, strings.Count(said, "\ngoroutine "), 64, said)
}

// Every story of a load is whole, and the hive hears nothing of what its workers print.
func TestEveryStoryOfALoadIsWhole(t *testing.T) {
	t.Parallel()
	const jobs = 40
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", jobs)
	m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.gpu-1.>", "rbee.v1.result.gpu-1.*", "reply.>")
	replies := map[string]string{}
	for _, j := range manyJobs(jobs) {
		replies[wire.send("gpu-1", j.String())] = j.id
	}
	seq, ended, resulted := map[string]int{}, map[string]bool{}, map[string]bool{}
	for len(replies) > 0 {
		msg := wire.next("")
		switch {
		case strings.HasPrefix(msg.Subject, "rbee.v1.narration."):
			e := eventFrom(t, msg)
			require.Equal(t, seq[e.JobID]+1, e.Seq)
			require.False(t, ended[e.JobID], "nothing follows the end")
			seq[e.JobID], ended[e.JobID] = e.Seq, e.Terminal
		case strings.HasPrefix(msg.Subject, "rbee.v1.result."):
			id := strings.TrimPrefix(msg.Subject, "rbee.v1.result.gpu-1.")
			require.True(t, ended[id], "the story comes before the result")
			resulted[id] = true
		default:
			require.True(t, resulted[replies[msg.Subject]], "the result comes before the reply")
			delete(replies, msg.Subject)
		}
	}
	require.Len(t, seq, jobs)
}

func TestAWorkerThatPrintsWithoutEndDisturbsNobody(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	h := m.serve()
	nc := natstest.Dial(t, server.URL())
	noisy := spawn(t, nc, "gpu-1", jobFor("noisy", "print"))
	awaitGrowth(t, noisy.LogPath)
	threads := h.threads()
	for _, j := range manyJobs(10) {
		quiet := spawn(t, nc, "gpu-1", j.String())
		require.True(t, alive(quiet.PID))
		log, err := os.ReadFile(quiet.LogPath)
		require.NoError(t, err)
		require.NotContains(t, string(log), "noise")
	}
	awaitGrowth(t, noisy.LogPath)
	require.True(t, alive(noisy.PID))
	require.LessOrEqual(t, h.threads(), threads+10)
	said := h.Said()
	require.NotContains(t, said, "noise")
}

// awaitGrowth returns once the file is longer than it was.
func awaitGrowth(t *testing.T, path string) {
	t.Helper()
	before := size(path)
	require.Eventually(t, func() bool { return size(path) > before }, patience, time.Millisecond)
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
