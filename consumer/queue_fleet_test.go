package consumer_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/proctest"
	"github.com/rbee-keeper/hive/messages"
)

// ledger is the Spawner of a fleet that starts nothing. It counts how often each job came to it, and how many are there at once.
type ledger struct {
	noWorkers
	mu        sync.Mutex
	starts    map[string]int // by hive and job
	now, most int
}

func (l *ledger) Spawn(_ context.Context, job messages.Job, emit func(messages.Event), waiting consumer.Waiting) (messages.Result, error) {
	l.mu.Lock()
	l.starts[job.HiveID+"/"+job.JobID]++
	l.now++
	l.most = max(l.most, l.now)
	l.mu.Unlock()
	emit(messages.Event{Action: messages.ActionSpawnStart, Human: "Spawning", Fields: messages.Fields{Model: job.Model, Device: job.Device}})
	waiting()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now--
	return resultOf(job), nil
}

// liveHeap returns the bytes that the last garbage collection found in use.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// watchHeap watches the heap until stop is called, which returns the most that was in use.
func watchHeap() (stop func() uint64) {
	quit, most := make(chan struct{}), make(chan uint64)
	go func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		peak := uint64(0)
		for {
			select {
			case <-ticker.C:
				peak = max(peak, liveHeap())
			case <-quit:
				most <- peak
				return
			}
		}
	}()
	return func() uint64 {
		close(quit)
		return <-most
	}
}

// serverStore has this program play a NATS server that keeps its streams in the directory named there.
const serverStore = "CONSUMER_TEST_SERVER_STORE"

func playServer(dir string) {
	srv, err := natsd.Start(natsd.Config{StoreDir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("server at", srv.URL())
	select {} // until the test kills it
}

// Five thousand jobs of fifty hives are each run once, and nothing of them is left in the memory of the hives. The server, which keeps
// all that is said, has a process of its own, so that it can be told from them.
func TestAFleetDrainsItsQueues(t *testing.T) {
	const hives, slots, jobs = 50, 2, 5000
	const mostAtOnce, mostLeft = 10 << 20, 3 << 20 // bytes; the story of each alone would take 20 MB
	server := proctest.Start(t, []string{serverStore + "=" + t.TempDir()}, os.Args[0])
	f := newFleet(t, server.Await(`server at (\S+)`)[1])
	all := &ledger{starts: make(map[string]int, jobs)}
	for i := range hives {
		f.keeper(all, consumer.Config{HiveID: fmt.Sprintf("gpu-%d", i), MaxJobs: slots})
	}
	f.publish(hives, hives, "first") // what a hive makes once, it has made then
	f.awaitEmpty()
	runtime.GC()
	before, peak := liveHeap(), watchHeap()
	f.publish(jobs, hives, "job")
	f.awaitEmpty()
	most := peak()
	runtime.GC()
	runtime.GC() // what rests in pools lives through one
	after := liveHeap()

	all.check(t, jobs, hives)
	info, err := f.stream("RBEE_RESULTS").Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, jobs+hives, info.State.Msgs)
	require.EqualValues(t, jobs+hives, info.State.LastSeq, "no result came twice")
	require.LessOrEqual(t, all.most, hives*slots)
	t.Logf("heap in use: %d kB before, %d kB at most, %d kB after", before>>10, most>>10, after>>10)
	require.Less(t, most, before+mostAtOnce)
	require.Less(t, after, before+mostLeft)
}

// publish queues jobs for all hives in turn.
func (f *fleet) publish(jobs, hives int, name string) {
	f.tb.Helper()
	for i := range jobs {
		subject := fmt.Sprintf("rbee.v1.job.gpu-%d.worker_spawn.%s-%d", i%hives, name, i)
		_, err := f.js.PublishAsync(subject, []byte(llamaQueued), jetstream.WithStallWait(patience))
		require.NoError(f.tb, err)
	}
	receive(f.tb, f.js.PublishAsyncComplete())
}

// check fails the test unless each job came once.
func (l *ledger) check(t *testing.T, jobs, hives int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.starts, jobs+hives)
	for i := range jobs {
		require.Equal(t, 1, l.starts[fmt.Sprintf("gpu-%d/job-%d", i%hives, i)])
	}
	for name, starts := range l.starts {
		require.Equal(t, 1, starts, name)
	}
}

// However many jobs wait, those that a hive has no slot for stay in the queue, and what is pulled starts at once.
func TestAPullTakesNoMoreThanThereAreSlots(t *testing.T) {
	t.Parallel()
	const slots, jobs = 4, 40
	f := newFleet(t, natstest.Server(t).URL())
	for i := range jobs {
		f.queue(fmt.Sprintf("job-%d", i), llamaQueued)
	}
	g := newGate()
	f.keeper(g, consumer.Config{MaxJobs: slots})
	at := make([]*caller, 0, slots)
	for done := 0; done < jobs; {
		for len(at) < min(slots, jobs-done) {
			at = append(at, g.next(t))
		}
		require.Empty(t, g.arrived)
		if done == 0 { // later, some may be over and not acknowledged yet
			require.Equal(t, slots, f.consumer().NumAckPending)
			f.awaitPending(jobs - slots)
		}
		for _, c := range at { // all at once, so that as many are pulled at once
			c.through()
		}
		done += len(at)
		at = at[:0]
	}
	f.awaitEmpty()
	require.Zero(t, f.consumer().NumRedelivered)
}
