//go:build linux

package e2e_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

func TestJobsReachTheirHiveAndNoOther(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	nc := natstest.Dial(t, server.URL())
	machines := map[string]*machine{}
	var requests []job
	want := map[string]map[string]int{}
	for _, id := range []string{"gpu-1", "gpu-2"} {
		machines[id] = newMachine(t, server.URL(), id, 40)
		machines[id].serve()
		want[id] = map[string]int{}
		for i := range 20 {
			name := fmt.Sprintf("%s-job-%d", id, i)
			requests = append(requests, job{hive: id, id: name, model: "m"})
			want[id][name] = 1
		}
	}
	for i, a := range spawnAll(t, nc, requests) {
		require.Equal(t, requests[i].hive, a.HiveID)
		require.Contains(t, a.BinaryPath, machines[a.HiveID].dir)
	}
	for id, m := range machines {
		requireStarts(t, want[id], m)
	}
}

func TestAHiveThatIsNotThereIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	newMachine(t, server.URL(), "gpu-1", 40).serve()
	nc := natstest.Dial(t, server.URL())
	for _, subject := range []string{"rbee.v1.hive.gpu-2.worker_spawn", "rbee.v1.hive.gpu.worker_spawn", "rbee.v2.hive.gpu-1.worker_spawn"} {
		_, err := nc.Request(subject, []byte(`{"model":"m","device":"cpu"}`), patience)
		require.ErrorIs(t, err, nats.ErrNoResponders)
	}
}

// Two processes of one hive share its jobs: whether they share a machine's run directory or not, each job runs once.
func TestTwoProcessesOfOneHive(t *testing.T) {
	t.Parallel()
	const jobs, asked = 100, 2
	t.Run("with a run directory each", func(t *testing.T) {
		t.Parallel()
		server := natstest.Server(t)
		machines := []*machine{newMachine(t, server.URL(), "gpu-1", jobs), newMachine(t, server.URL(), "gpu-1", jobs)}
		for _, m := range machines {
			m.serve()
		}
		spawnAll(t, natstest.Dial(t, server.URL()), manyJobs(jobs))
		requireStarts(t, once(manyJobs(jobs)), machines...)
		require.NotEmpty(t, machines[0].startsOf())
		require.NotEmpty(t, machines[1].startsOf())
	})
	t.Run("with the same run directory", func(t *testing.T) {
		t.Parallel()
		server := natstest.Server(t)
		m := newMachine(t, server.URL(), "gpu-1", jobs)
		m.serve()
		m.serve()
		requests := manyJobs(jobs)
		answers := spawnAll(t, natstest.Dial(t, server.URL()), slices.Repeat(requests, asked))
		started, ports := map[int]bool{}, map[int]bool{}
		for i, a := range answers {
			require.Equal(t, answers[i%jobs].PID, a.PID, "whoever asks for a job gets the one worker of it")
			ports[a.Port] = true
			if !a.Replayed {
				started[a.PID] = true
			}
		}
		require.Len(t, ports, jobs)
		require.Len(t, started, jobs)
		requireStarts(t, once(requests), m)
	})
}

// once says that each job's worker was started once.
func once(jobs []job) map[string]int {
	count := map[string]int{}
	for _, j := range jobs {
		count[j.id] = 1
	}
	return count
}
