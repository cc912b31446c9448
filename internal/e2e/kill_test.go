//go:build linux

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// A hive that is killed takes nothing with it and forgets nothing.
func TestWorkersOutliveAKilledHive(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	nc := natstest.Dial(t, server.URL())
	h := m.serve()
	before := spawn(t, nc, "gpu-1", `{"job_id":"job-1","worker_id":"w1","model":"print","device":"cpu"}`)
	h.Kill()
	require.Equal(t, []int{before.PID}, m.orphans())
	awaitGrowth(t, before.LogPath)

	h = m.serve()
	again := spawn(t, nc, "gpu-1", `{"job_id":"job-1","worker_id":"w1","model":"print","device":"cpu"}`)
	require.True(t, again.Replayed)
	require.Equal(t, "true", again.header.Get("Rbee-Replayed"))
	require.WithinDuration(t, before.StartedAt, again.StartedAt, 0)
	before.Replayed, before.header, before.StartedAt = true, again.header, again.StartedAt
	require.Equal(t, before, again)
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "reply.>")
	wire.failure(wire.send("gpu-1", `{"job_id":"job-2","worker_id":"w1","model":"other","device":"cpu"}`), "worker_conflict", "409")
	f := wire.failure(wire.send("gpu-1", fmt.Sprintf(`{"job_id":"job-3","port":%d,"model":"m","device":"cpu"}`, before.Port)), "port_in_use", "409")
	require.Contains(t, f.Message, "w1")
	require.NoError(t, syscall.Kill(before.PID, syscall.SIGKILL))
	e := wire.event("rbee.v1.narration.gpu-1.@worker.worker_exited")
	require.Equal(t, []string{"w1", "gpu-1", ""}, []string{e.WorkerID, e.HiveID, e.JobID})
	require.Equal(t, "job-1", e.Fields.StartedBy)
	require.Equal(t, before.PID, e.Fields.PID)
	require.Len(t, m.starts(), 1)
	require.True(t, alive(h.PID()))
}

// Whenever a hive is killed, whoever sends a job again until it is answered gets one worker for it, be it from the next
// hive or from another process of the same one.
func TestAHiveKilledAtAnyMomentRunsEachJobOnce(t *testing.T) {
	t.Parallel()
	const rounds, perRound = 15, 12
	const longest = 100 * time.Millisecond // until a round's jobs are all answered, more or less
	for name, beside := range map[string]int{"alone": 0, "beside another of its processes": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := natstest.Server(t)
			m := newMachine(t, server.URL(), "gpu-1", rounds*perRound)
			nc := natstest.Dial(t, server.URL())
			others := make([]*hive, beside)
			for i := range others {
				others[i] = m.serve()
			}
			answered := map[string]answer{}
			all := make([]string, 0, rounds*perRound)

			for round := range rounds {
				h := m.serve()
				for i := range perRound {
					all = append(all, fmt.Sprintf("round-%d-job-%d", round, i))
				}
				recent := all[max(0, len(all)-2*perRound):] // those that the last kill left open come again
				ctx, hang := context.WithCancel(t.Context())
				moment := time.NewTimer(rand.N(longest))
				wait := sendAll(answered, recent, func(id string) (answer, error) { return request(ctx, nc, "gpu-1", jobFor(id, "m")) })
				<-moment.C
				h.Kill()
				hang()
				_ = wait() // some were answered, the others will be
			}

			h := m.serve()
			early := maps.Clone(answered)
			clear(answered)
			require.NoError(t, sendAll(answered, all, func(id string) (answer, error) { return insist(t.Context(), nc, "gpu-1", jobFor(id, "m")) })())
			for id, a := range early {
				require.Equal(t, a.PID, answered[id].PID, "the answer stands")
			}
			ports := map[int]bool{}
			for _, a := range answered {
				ports[a.Port] = true
			}
			require.Len(t, ports, len(all))
			t.Logf("%d of %d jobs were answered before their hive was killed", len(early), len(all))
			for _, h := range append(others, h) {
				h.Kill() // so that all workers can be seen
			}
			require.Len(t, m.orphans(), len(all))
			m.requireOnePerJob(answered)
		})
	}
}

// sendAll begins to send the jobs that are not answered, all at once. Answers that are results go to answered before wait
// returns, which returns what went wrong with the others.
func sendAll(answered map[string]answer, ids []string, send func(id string) (answer, error)) (wait func() error) {
	var mu sync.Mutex
	var errs []error
	var group sync.WaitGroup
	open := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { _, ok := answered[id]; return ok })
	for _, id := range open {
		group.Go(func() {
			a, err := send(id)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				errs = append(errs, err)
			case a.Error != nil:
				errs = append(errs, errors.New(a.Error.Message))
			default:
				answered[id] = a
			}
		})
	}
	return func() error {
		group.Wait()
		return errors.Join(errs...)
	}
}
