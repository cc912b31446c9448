package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// ledger is the Spawner of a fleet that starts nothing. It counts how often each job came to it, and how many are there at once.
type ledger struct {
	noWorkers
	mu         sync.Mutex
	starts     map[string]int // by hive and job
	now, most  int
	duplicates []string
}

func (l *ledger) Spawn(_ context.Context, job messages.Job, emit func(messages.Event), waiting func()) (messages.Result, error) {
	name := job.HiveID + "/" + job.JobID
	l.mu.Lock()
	if l.starts[name]++; l.starts[name] > 1 {
		l.duplicates = append(l.duplicates, name)
	}
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

// Five thousand jobs of fifty hives are each run once, and neither a hive nor this process keeps anything of them.
func TestAFleetDrainsItsQueue(t *testing.T) {
	if testing.Short() {
		t.Log("a tenth of the jobs")
	}
	const hives, slots = 50, 2
	jobs := 5000
	f := newFleet(t, natstest.Server(t).URL())
	all := &ledger{starts: make(map[string]int, jobs)}
	for i := range jobs {
		hive := fmt.Sprintf("gpu-%d", i%hives)
		_, err := f.js.PublishAsync("rbee.v1.job."+hive+".worker_spawn."+fmt.Sprintf("job-%d", i), []byte(llamaQueued))
		require.NoError(t, err)
	}
	select {
	case <-f.js.PublishAsyncComplete():
	case <-time.After(patience):
		require.FailNow(t, "the stream does not take the jobs")
	}
	runtime.GC()
	before, peak := liveHeap(), watchHeap()
	for i := range hives {
		f.keeper(all, consumer.Config{HiveID: fmt.Sprintf("gpu-%d", i), MaxJobs: slots})
	}
	f.awaitEmpty()
	most := peak()
	runtime.GC()
	runtime.GC() // what pools keep lives through one
	after := liveHeap()

	all.mu.Lock()
	defer all.mu.Unlock()
	require.Len(t, all.starts, jobs)
	require.Empty(t, all.duplicates)
	require.LessOrEqual(t, all.most, hives*slots)
	for i := range jobs {
		require.Equal(t, 1, all.starts[fmt.Sprintf("gpu-%d/job-%d", i%hives, i)])
	}
	info, err := f.stream("RBEE_RESULTS").Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(jobs), info.State.Msgs, "one result of each")
	t.Logf("heap in use: %d kB before, %d kB at most, %d kB after", before>>10, most>>10, after>>10)
}
