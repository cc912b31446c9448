package deploy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/messages"
	fleet "github.com/rbee-keeper/hive/queen"
)

// patience bounds the wait for what must come.
const patience = time.Minute

// clusterFile returns the configuration of one of the three servers.
func clusterFile(i int) string { return fmt.Sprintf("cluster/nats-%d.conf", i+1) }

// startCluster runs the three configuration files as they are, but on ports of this machine that nobody else takes.
func startCluster(t *testing.T) (servers []*broker, clusterPorts []int) {
	t.Helper()
	const size = 3
	first, _ := porttest.Lease(t, 2*size)
	var routes []string
	for i := range size {
		clusterPorts = append(clusterPorts, first+size+i)
		routes = append(routes, fmt.Sprintf("127.0.0.1:%d", clusterPorts[i]))
	}
	for i := range size {
		srv, err := natsd.Start(natsd.Config{
			ConfigFile: clusterFile(i), StoreDir: t.TempDir(), Port: first + i, Cluster: &natsd.Cluster{Port: clusterPorts[i], Routes: routes},
		})
		require.NoError(t, err)
		t.Cleanup(srv.Shutdown)
		servers = append(servers, withPasswords(srv))
	}
	return servers, clusterPorts
}

// The three files make one cluster, in which the administrator makes the streams, and each of the three serves everybody.
func TestThreeServersKeepTheStreams(t *testing.T) {
	t.Parallel()
	servers, clusterPorts := startCluster(t)
	root := fleet.New(dial(t, servers[0], admin), fleet.Config{})
	awaitApplied(t, root, 3)
	plan, err := root.Apply(t.Context(), fleet.StreamsConfig{Replicas: 3}, false)
	require.NoError(t, err)
	for _, change := range plan {
		require.False(t, change.Changes(), "%s: %v", change.Stream, change.Fields)
	}

	boss := fleet.New(dial(t, servers[1], queen), fleet.Config{})
	var states []fleet.StreamState
	soon := func(ask func() error) { // where the machine stands still, the three choose another leader
		t.Helper()
		require.EventuallyWithT(t, func(c *assert.CollectT) { require.NoError(c, ask()) }, patience, 50*time.Millisecond)
	}
	soon(func() (err error) { states, err = boss.StreamStates(t.Context()); return err })
	require.Len(t, states, 4)
	for _, state := range states {
		require.Equal(t, 3, state.Replicas, state.Stream)
	}
	soon(func() error {
		_, err := boss.Enqueue(t.Context(), "gpu-1", messages.Job{JobID: "job-1", Model: "m", Device: "cpu"})
		if _, there := errors.AsType[*fleet.DuplicateError](err); there {
			return nil
		}
		return err
	})
	require.Equal(t, "job-1", queueOf(t, servers[2], hive1).run(t))
	result, err := boss.Await(t.Context(), "gpu-1", "job-1", nil)
	require.NoError(t, err)
	require.Equal(t, 4242, result.PID)

	nc := dial(t, servers[0], observer)
	require.Empty(t, nc.DiscoveredServers(), "who connects is told of no address inside")
	for _, port := range clusterPorts {
		require.True(t, wantsPassword(t, port), "whoever may join may do everything")
	}
}

// wantsPassword reports whether a server asks those who join for a password.
func wantsPassword(t *testing.T, port int) bool {
	t.Helper()
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), patience)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	info, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	return strings.Contains(info, `"auth_required":true`)
}

// What the files say beside what the tests replace: names, routes and the disk.
func TestClusterFilesDifferInTheirNamesAlone(t *testing.T) {
	t.Parallel()
	alone, err := server.ProcessConfigFile("nats-server.conf")
	require.NoError(t, err)
	require.True(t, alone.SyncAlways)
	for i := range 3 {
		opts, err := server.ProcessConfigFile(clusterFile(i))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("nats-%d", i+1), opts.ServerName)
		require.Equal(t, []any{"rbee", "0.0.0.0", 6222, true}, []any{opts.Cluster.Name, opts.Cluster.Host, opts.Cluster.Port, opts.Cluster.NoAdvertise})
		require.Equal(t, []string{"route", "secret-of-route"}, []string{opts.Cluster.Username, opts.Cluster.Password})
		var routes []string
		for _, route := range opts.Routes {
			routes = append(routes, route.String())
		}
		require.Equal(t, []string{
			"nats://route:secret-of-route@nats-1:6222", "nats://route:secret-of-route@nats-2:6222", "nats://route:secret-of-route@nats-3:6222",
		}, routes)
		require.False(t, opts.SyncAlways, "two of three have it: that is what makes it safe")
		require.Equal(t, []any{alone.StoreDir, alone.JetStreamMaxStore, alone.JetStreamMaxMemory, alone.Port, alone.PingInterval},
			[]any{opts.StoreDir, opts.JetStreamMaxStore, opts.JetStreamMaxMemory, opts.Port, opts.PingInterval})
	}
}

// A server that notices a dead connection later than its hive sends requests to where nobody is.
func TestServerNoticesADeadConnectionAsSoonAsTheHive(t *testing.T) {
	t.Parallel()
	opts, err := server.ProcessConfigFile("nats-server.conf")
	require.NoError(t, err)
	require.LessOrEqual(t, opts.PingInterval, natsconn.DefaultPingInterval)
	require.LessOrEqual(t, opts.MaxPingsOut, nats.DefaultMaxPingOut)
}

func TestComposeOfAClusterReplacesTheServer(t *testing.T) {
	t.Parallel()
	one, three := services(t), servicesOf(t, "compose.cluster.yaml")
	const url = "nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222"
	for name := range one {
		s, there := three[name]
		require.True(t, there, "%s still knows one server", name)
		if name != "nats" {
			require.Equal(t, map[string]string{"NATS_URL": url}, s.Environment, name)
		}
	}
	require.Equal(t, []string{"rbee", "streams", "apply", "--replicas", "3"}, three["streams"].Command)
	require.Equal(t, []string{"nats-1"}, three["nats"].Networks["default"].Aliases)
	for i, name := range []string{"nats", "nats-2", "nats-3"} {
		s := three[name]
		require.Equal(t, []string{"nats-server", "--config", "/etc/nats/" + clusterFile(i)}, s.Command)
		require.Contains(t, s.Volumes, "./cluster:/etc/nats/cluster:ro")
		require.Equal(t, "${ROUTE_PASSWORD:?set it in deploy/.env}", s.Environment["ROUTE_PASSWORD"])
		for n := 1; n <= 3; n++ {
			require.Equal(t, fmt.Sprintf("nats://route:${ROUTE_PASSWORD}@nats-%d:6222", n), s.Environment[fmt.Sprintf("ROUTE_%d", n)])
		}
		if i == 0 {
			continue
		}
		require.Empty(t, s.Ports, "clients of this machine come by the first")
		require.Equal(t, one["nats"].Image, s.Image)
		require.Contains(t, s.Volumes, "./nats-server.conf:/etc/nats/nats-server.conf:ro")
		for variable, value := range one["nats"].Environment {
			require.Equal(t, value, s.Environment[variable])
		}
	}
	require.Len(t, three, len(one)+2)
}

// A server of its own that lacks the password of the cluster does not start.
func TestClusterNeedsItsPassword(t *testing.T) {
	t.Parallel()
	conf := strings.ReplaceAll(readFile(t, "cluster/cluster.conf"), "$ROUTE_PASSWORD", "$NO_SUCH_PASSWORD")
	conf = strings.Replace(conf, `include "../nats-server.conf"`, "", 1)
	_, err := natsd.Start(natsd.Config{ConfigFile: writeFile(t, "cluster.conf", conf), StoreDir: t.TempDir()})
	require.ErrorContains(t, err, "NO_SUCH_PASSWORD")
}

// Streams that one server keeps are kept by three after `rbee streams apply --replicas 3`, but for narration: a stream that does not wait for
// the disk stays on one server, and apply says so.
func TestStreamsOfOneServerAreWidened(t *testing.T) {
	t.Parallel()
	servers, _ := startCluster(t)
	root := fleet.New(dial(t, servers[0], admin), fleet.Config{})
	awaitApplied(t, root, 1)
	plan := awaitApplied(t, root, 3)
	require.Equal(t, []fleet.FieldChange{
		{Field: "num_replicas", Have: "1", Want: "3", Fixed: true}, {Field: "persist_mode", Have: "Async", Want: "Default", Fixed: true},
	}, plan[2].Fields)
	states, err := root.StreamStates(t.Context())
	require.NoError(t, err)
	for _, state := range states {
		want := 3
		if state.Stream == "RBEE_NARRATION" {
			want = 1
		}
		require.Equal(t, want, state.Replicas, state.Stream)
	}
}

// awaitApplied applies until the servers have chosen a leader, and returns what was to do at last.
func awaitApplied(t *testing.T, root *fleet.Client, copies int) (plan []fleet.StreamChange) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var err error
		plan, err = root.Apply(ctx, fleet.StreamsConfig{Replicas: copies}, false)
		return err == nil
	}, patience, 50*time.Millisecond)
	return plan
}
