//go:build linux

package e2e_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// publisher puts jobs into the queue without the queen package, as any client of NATS can.
type publisher struct {
	t  *testing.T
	js jetstream.JetStream
}

// put publishes a job for gpu-1 and returns what the server says: stored, duplicate, or why not. Without an id the server knows a job by its
// subject alone.
func (p publisher) put(hive, job, model, msgID string) string {
	p.t.Helper()
	var opts []jetstream.PublishOpt
	if msgID != "" {
		opts = append(opts, jetstream.WithMsgID(msgID))
	}
	ack, err := p.js.Publish(p.t.Context(), "rbee.v1.job."+hive+".worker_spawn."+job, []byte(jobFor(job, model)), opts...)
	api, refused := errors.AsType[*jetstream.APIError](err)
	switch {
	case refused && api.ErrorCode == 10077:
		return "waits"
	case err != nil:
		p.t.Fatal(err)
	case ack.Duplicate:
		return "duplicate"
	}
	return "stored"
}

// A job is published again and again, with and without an id of the message, before, while and after its hive runs it, and after a restart of
// the server, which forgets the ids of what was done. It has one worker and one result, and each copy that the server took is told as a replay.
func TestAJobThatIsPublishedAgainHasOneWorker(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		id, after string // of the message; what the server says of a copy when the job is done
	}{
		"with the id of the message": {"gpu-1/job-1", "duplicate"},
		"without":                    {"", "stored"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, took := t.TempDir(), 0
			port := porttest.One(t)
			server := startKept(t, store, port)
			nc := sturdy(t, server.URL())
			js := streams(t, nc)
			p := publisher{t, js}
			copyOf := func(want ...string) {
				t.Helper()
				said := p.put("gpu-1", "job-1", "mute", test.id)
				require.Contains(t, want, said)
				if said == "stored" {
					took++
				}
			}
			copyOf("stored")
			copyOf("duplicate", "waits") // before

			m := newMachine(t, server.URL(), "gpu-1", 40)
			m.serve("RBEE_QUEUE=required", "RBEE_WATCH=400ms", fmt.Sprintf("NATS_PING_INTERVAL=%s", pings))
			requireStarts(t, map[string]int{"job-1": 1}, m)
			copyOf("duplicate", "waits") // while its worker, which does not listen, is watched
			first := stored(t, js, "job-1")
			require.Nil(t, first.Error)
			awaitNoJob(t, js)

			copyOf(test.after)
			awaitNoJob(t, js)
			server.Shutdown()
			startKept(t, store, port)
			require.Eventually(t, nc.IsConnected, patience, time.Millisecond)
			natstest.Stream(t, js, "RBEE_JOBS")
			copyOf("stored")
			awaitNoJob(t, js)

			require.Equal(t, first.PID, stored(t, js, "job-1").PID, "which also says that it is the only result")
			asked, err := insist(t.Context(), nc, "gpu-1", jobFor("job-1", "mute"))
			require.NoError(t, err)
			require.True(t, asked.Replayed)
			require.Equal(t, first.PID, asked.PID)
			requireStarts(t, map[string]int{"job-1": 1}, m)
			requireReplays(t, js, "job-1", took)
		})
	}
}

// startKept starts a server on the streams of an earlier one.
func startKept(t *testing.T, store string, port int) (server *natsd.Server) {
	t.Helper()
	require.Eventually(t, func() (started bool) {
		var err error
		server, err = natsd.Start(natsd.Config{StoreDir: store, Port: port})
		return err == nil
	}, patience, 10*time.Millisecond)
	t.Cleanup(server.Shutdown)
	return server
}

// requireReplays requires that a job was told once from its start to its end, and so many times as a replay.
func requireReplays(t *testing.T, js jetstream.JetStream, job string, replays int) {
	t.Helper()
	var kept []event
	require.Eventually(t, func() bool {
		kept = nil
		ends := 0
		for _, e := range keptEvents(t, js) {
			if e.JobID == job {
				kept = append(kept, e)
				if e.Terminal {
					ends++
				}
			}
		}
		return ends == 1+replays
	}, patience, 10*time.Millisecond)
	told := map[string]int{}
	for _, e := range kept {
		told[e.Action]++
		if e.Action == "worker_spawn_replayed" {
			require.GreaterOrEqual(t, e.Attempt, 2)
			require.Equal(t, 1, e.Seq)
		}
	}
	require.Equal(t, 1, told["worker_spawned"])
	require.Equal(t, replays, told["worker_spawn_replayed"])
}

// The same job comes by request and by queue at the same moment, many times over. One of them starts the worker, and the other one is its replay.
func TestTheSameJobsByRequestAndByQueueAtOnce(t *testing.T) {
	t.Parallel()
	const jobs = 20
	server := natstest.Server(t)
	nc := natstest.Dial(t, server.URL())
	js := streams(t, nc)
	m := newMachine(t, server.URL(), "gpu-1", 2*jobs)
	m.serve("RBEE_QUEUE=required")
	ids := make([]string, jobs)
	for i := range ids {
		ids[i] = fmt.Sprintf("job-%d", i)
	}
	answers := map[string]answer{}
	wait := sendAll(answers, ids, func(id string) (answer, error) { return insist(t.Context(), nc, "gpu-1", jobFor(id, "m")) })
	for _, id := range ids {
		queue(t, js, id, "m")
	}
	require.NoError(t, wait())
	awaitNoJob(t, js)
	m.requireOnePerJob(answers)
	requireResults(t, js, ids, nil)
	for _, id := range ids {
		requireReplays(t, js, id, 1)
	}
}

// The same job id is another job on another hive, however the message is named: the queen names it after both. A publisher who names it after the
// job alone loses the second one, and is told.
func TestTheSameJobIdOnTwoHives(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	nc := natstest.Dial(t, server.URL())
	js := streams(t, nc)
	one, two := newMachine(t, server.URL(), "gpu-1", 40), newMachine(t, server.URL(), "gpu-2", 40)
	one.serve("RBEE_QUEUE=required")
	two.serve("RBEE_QUEUE=required")
	client := queen.New(nc, queen.Config{})
	_, err := client.Apply(t.Context(), queen.StreamsConfig{}, true)
	require.NoError(t, err)
	pids := map[int]bool{}
	for _, hive := range []string{"gpu-1", "gpu-2"} {
		_, err := client.Enqueue(t.Context(), hive, messages.Job{JobID: "job-1", Model: "m", Device: "cpu"})
		require.NoError(t, err)
		result, err := client.Await(t.Context(), hive, "job-1", nil)
		require.NoError(t, err)
		require.Equal(t, hive, result.HiveID)
		pids[result.PID] = true
		_, err = client.Enqueue(t.Context(), hive, messages.Job{JobID: "job-1", Model: "m", Device: "cpu"})
		var duplicate *queen.DuplicateError
		require.ErrorAs(t, err, &duplicate)
		require.Equal(t, hive, duplicate.Job.HiveID)
	}
	require.Len(t, pids, 2)
	requireStarts(t, map[string]int{"job-1": 1}, one)
	requireStarts(t, map[string]int{"job-1": 1}, two)

	p := publisher{t, js}
	require.Equal(t, "stored", p.put("gpu-1", "job-2", "m", "job-2"))
	require.Equal(t, "duplicate", p.put("gpu-2", "job-2", "m", "job-2"))
	require.Equal(t, "stored", p.put("gpu-2", "job-2", "m", ""))
	awaitNoJob(t, js)
	requireStarts(t, map[string]int{"job-1": 1, "job-2": 1}, one)
	requireStarts(t, map[string]int{"job-1": 1, "job-2": 1}, two)
}
