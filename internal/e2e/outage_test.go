//go:build linux

package e2e_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/porttest"
)

// NATS goes away and comes back in the middle of a load. Who sends a job again until it is answered gets one worker.
func TestALoadThroughARestartOfNATS(t *testing.T) {
	t.Parallel()
	const jobs = 100
	port := porttest.One(t) // which nobody takes while the server is away
	server := natstest.Start(t, natsd.Config{Port: port})
	m := newMachine(t, server.URL(), "gpu-1", jobs)
	h := m.serve()
	back := make(chan struct{}, 100)
	nc := natstest.Dial(t, server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond),
		nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))

	away, leave := context.WithCancel(t.Context())
	var mu sync.Mutex
	answered, errs := map[string]answer{}, []error(nil)
	some := make(chan struct{}, jobs)
	var group sync.WaitGroup
	for _, j := range manyJobs(jobs) {
		group.Go(func() {
			a, err := request(away, nc, j.hive, j.String())
			if err != nil { // what it asked got lost, or the answer
				a, err = insist(t.Context(), nc, j.hive, j.String())
			}
			mu.Lock()
			defer mu.Unlock()
			answered[j.id], errs = a, append(errs, err)
			some <- struct{}{}
		})
	}
	for range jobs / 4 {
		<-some
	}
	server.Shutdown()
	natstest.Start(t, natsd.Config{Port: port})
	<-back
	leave()
	group.Wait()

	require.NoError(t, errors.Join(errs...))
	replayed := 0
	for id, a := range answered {
		require.Nil(t, a.Error, id)
		if a.Replayed {
			replayed++
		}
	}
	t.Logf("%d of %d jobs had been started when they were sent again", replayed, jobs)
	m.requireOnePerJob(answered)
	h.Await("NATS is away")
	h.Await("NATS is back")
	require.True(t, alive(h.PID()))
}
