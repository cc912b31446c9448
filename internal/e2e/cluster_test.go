//go:build linux

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/queen"
)

// One server of three after the other is killed and started again while jobs come in both ways. Each job has one worker, which was
// started once, and one result. The first to be killed leads the queue, and the others need 4 to 9 seconds to choose another leader
// (raft.go of nats-server). From the others the streams are moved away before, as in a rolling restart, unless [killsVariable] asks for more.
func TestALoadWhileOneServerOfThreeIsKilled(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "nats-server.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, "ping_interval: %q\n", pings), 0o600))
	c := startCluster(t, conf)
	nc := sturdy(t, c.url())
	client := queen.New(nc, queen.Config{})
	c.js = natstest.JetStream(t, nc)
	replicated(t, client)
	impatient(t, c.js)
	m := newMachine(t, c.url(), "gpu-1", 200)
	h := m.serve("RBEE_QUEUE=required", fmt.Sprintf("NATS_PING_INTERVAL=%s", pings))

	l := &mixedLoad{client: client, once: map[string]int{}}
	first := c.leader("RBEE_JOBS")
	for round := range c.servers {
		c.awaitCurrent()
		begun, victim := time.Now(), (first+round)%len(c.servers)
		if round > 0 && os.Getenv(killsVariable) == "" {
			c.relieve(victim)
		}
		wait := l.begin(t, fmt.Sprintf("before-%d", round))
		var during func() error
		c.restart(victim, func() {
			during = l.begin(t, fmt.Sprintf("during-%d", round))
			time.Sleep(passes)
		})
		after := l.begin(t, fmt.Sprintf("after-%d", round))
		require.NoError(t, errors.Join(wait(), during(), after()), h.Said())
		t.Logf("server %d was killed; the jobs took %s", victim+1, time.Since(begun).Round(time.Millisecond))
	}
	requireStarts(t, l.once, m)
	c.awaitCurrent()
	awaitNoJob(t, c.js)
	// The result of a request is told to who listens. A stream without a leader does not.
	requireResults(t, c.js, l.queued, l.asked)
	requireStories(t, keptEvents(t, c.js), false)
}

// mixedLoad is jobs that are queued and jobs that are asked for.
type mixedLoad struct {
	client        *queen.Client
	queued, asked []string
	once          map[string]int
}

// begin sends jobs and returns what waits for their ends.
func (l *mixedLoad) begin(t *testing.T, name string) (wait func() error) {
	const each = 6
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	errs := make([]error, 2*each)
	var group sync.WaitGroup
	for i := range each {
		queued, asked := fmt.Sprintf("%s-queued-%d", name, i), fmt.Sprintf("%s-asked-%d", name, i)
		l.queued, l.asked = append(l.queued, queued), append(l.asked, asked)
		l.once[queued], l.once[asked] = 1, 1
		group.Go(func() { errs[2*i] = putAndAwait(ctx, l.client, queued) })
		group.Go(func() { errs[2*i+1] = askAgain(ctx, l.client, asked) })
	}
	return func() error {
		defer cancel()
		group.Wait()
		return errors.Join(errs...)
	}
}

// replicated makes the streams on three servers, once these have agreed on who leads them.
func replicated(t *testing.T, client *queen.Client) {
	t.Helper()
	var err error
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err = client.Apply(ctx, queen.StreamsConfig{Replicas: 3}, false)
		return err == nil
	}, patience, 50*time.Millisecond, "%v", errors.Unwrap(err))
}

// streamNames are the streams of a fleet.
var streamNames = []string{"RBEE_JOBS", "RBEE_RESULTS", "RBEE_NARRATION", "RBEE_DEAD"}

// info asks who leads a stream; nil while nobody does.
func (c *cluster) info(stream string) *jetstream.ClusterInfo {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	s, err := c.js.Stream(ctx, stream)
	if err != nil || s.CachedInfo().Cluster == nil || s.CachedInfo().Cluster.Leader == "" {
		return nil
	}
	return s.CachedInfo().Cluster
}

// leader returns which server leads a stream.
func (c *cluster) leader(stream string) (server int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		info := c.info(stream)
		if info != nil {
			server = slices.IndexFunc(c.servers, func(s *serverProcess) bool { return s.cfg.Name == info.Leader })
		}
		return info != nil
	}, patience, 10*time.Millisecond)
	return server
}

// relieve has other servers lead what one leads.
func (c *cluster) relieve(server int) {
	c.t.Helper()
	for _, name := range streamNames {
		require.Eventually(c.t, func() bool {
			if c.leader(name) != server {
				return true
			}
			_, _ = c.js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+name, nil, time.Second)
			return false
		}, patience, 50*time.Millisecond)
	}
	require.Eventually(c.t, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		consumer, err := c.js.Consumer(ctx, "RBEE_JOBS", "gpu-1")
		if err != nil || consumer.CachedInfo().Cluster == nil {
			return false
		}
		if leader := consumer.CachedInfo().Cluster.Leader; leader != "" && leader != c.servers[server].cfg.Name {
			return true
		}
		_, _ = c.js.Conn().Request("$JS.API.CONSUMER.LEADER.STEPDOWN.RBEE_JOBS.gpu-1", nil, time.Second)
		return false
	}, patience, 50*time.Millisecond)
}

// awaitCurrent returns when every server has all that the streams hold, so that any of them may be lost.
func (c *cluster) awaitCurrent() {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		for _, name := range streamNames {
			info := c.info(name)
			behind := func(peer *jetstream.PeerInfo) bool { return !peer.Current || peer.Offline }
			if info == nil || len(info.Replicas) != len(c.servers)-1 || slices.ContainsFunc(info.Replicas, behind) {
				return false
			}
		}
		return true
	}, patience, 20*time.Millisecond)
}
