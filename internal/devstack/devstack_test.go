package devstack_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/devstack"
	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func start(t *testing.T, cfg devstack.Config) *devstack.Stack {
	t.Helper()
	stack, err := devstack.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Stop()) })
	return stack
}

// hives returns the ids of the hives that answer on the stack's server.
func hives(t *testing.T, stack *devstack.Stack) []string {
	t.Helper()
	nc, err := nats.Connect(stack.NATSURL(), nats.Timeout(time.Minute))
	require.NoError(t, err)
	defer nc.Close()
	found, err := queen.New(nc, queen.Config{}).Hives(t.Context())
	require.NoError(t, err)
	ids := []string{}
	for _, hive := range found {
		ids = append(ids, hive.ID)
	}
	return ids
}

func TestStartBringsUpEverything(t *testing.T) {
	t.Parallel()
	stack := start(t, devstack.Config{Dir: t.TempDir(), HiveID: "one"})
	require.Equal(t, []string{"one"}, hives(t, stack))

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, stack.QueenURL()+"/v1/workers", nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)

	require.NoError(t, stack.StopHive())
	require.Empty(t, hives(t, stack))
	require.NoError(t, stack.StartHive(t.Context()))
	require.Equal(t, []string{"one"}, hives(t, stack))
}

func TestStopFreesThePortsAndTheDirectory(t *testing.T) {
	t.Parallel()
	natsPort, queenPort := porttest.Lease(t, 2)
	cfg := devstack.Config{Dir: t.TempDir(), NATSPort: natsPort, QueenPort: queenPort}
	first := start(t, cfg)
	require.NoError(t, first.Stop())
	require.NoError(t, first.Stop(), "a second time does nothing")
	second := start(t, cfg)
	require.Equal(t, first.QueenURL(), second.QueenURL())
	require.Equal(t, first.NATSURL(), second.NATSURL())
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	running := start(t, devstack.Config{Dir: t.TempDir()})
	port := func(url string) int {
		_, text, err := net.SplitHostPort(url[len("http://"):])
		require.NoError(t, err)
		number, err := strconv.Atoi(text)
		require.NoError(t, err)
		return number
	}
	t.Run("a queen's port that is taken", func(t *testing.T) {
		t.Parallel()
		_, err := devstack.Start(t.Context(), devstack.Config{Dir: t.TempDir(), QueenPort: port(running.QueenURL())})
		require.True(t, devstack.PortTaken(err), "%v", err)
		require.ErrorContains(t, err, "queen")
	})
	t.Run("a NATS port that is taken", func(t *testing.T) {
		t.Parallel()
		_, err := devstack.Start(t.Context(), devstack.Config{Dir: t.TempDir(), NATSPort: port(running.NATSURL())})
		require.True(t, devstack.PortTaken(err), "%v", err)
		require.ErrorContains(t, err, "NATS")
	})
	t.Run("a directory that another uses", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		start(t, devstack.Config{Dir: dir})
		_, err := devstack.Start(t.Context(), devstack.Config{Dir: dir})
		require.ErrorIs(t, err, devstack.ErrInUse)
	})
	t.Run("a directory that is a file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		_, err := devstack.Start(t.Context(), devstack.Config{Dir: file})
		require.ErrorContains(t, err, "state directory")
	})
	t.Run("a hive id that is none", func(t *testing.T) {
		t.Parallel()
		_, err := devstack.Start(t.Context(), devstack.Config{Dir: t.TempDir(), HiveID: "a.b"})
		require.ErrorContains(t, err, "hive id")
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	stack := start(t, devstack.Config{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, stack.Wait(ctx))
}

func TestInstall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.False(t, devstack.CanServe(dir))
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, devstack.Install(dir, self, "0.1.0"))
	require.True(t, devstack.CanServe(dir))
	require.Error(t, devstack.Install(dir, self, "0.1.0"), "a version is installed once")
	require.Error(t, devstack.Install(dir, filepath.Join(dir, "missing"), "0.2.0"))
}

// A worker's heartbeat reaches the registry over HTTP.
func TestHeartbeatsReachTheRegistry(t *testing.T) {
	t.Parallel()
	stack := start(t, devstack.Config{Dir: t.TempDir()})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	beat := messages.Heartbeat{Worker: messages.WorkerInfo{ID: "worker-1", Port: 9001, Status: messages.StatusReady}, Timestamp: time.Now()}
	post(t, stack.QueenURL()+messages.HeartbeatPath, beat)
	worker, err := stack.Registry().Await(ctx, "worker-1", messages.StatusReady)
	require.NoError(t, err)
	require.Equal(t, queen.StateReady, worker.State)
}
