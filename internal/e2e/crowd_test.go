//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
)

// Five hundred workers are one answer where the server takes it, and as many pages as it takes where it does not.
func TestFiveHundredWorkersAreListed(t *testing.T) {
	t.Parallel()
	const workers, smallest = 500, 16 << 10
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", workers)
	require.NoError(t, os.Link(filepath.Join(programs, "sleeper"), m.entry(cpuWorker, "0.2.0"))) // costs less than the other
	m.serve("RBEE_WATCH=0", fmt.Sprintf("RBEE_MAX_WAITING=%d", workers))
	nc := natstest.Dial(t, server.URL())
	var want []string
	for _, a := range spawnAll(t, nc, manyJobs(workers)) {
		want = append(want, a.WorkerID)
	}
	slices.Sort(want)

	msg, err := nc.Request("rbee.v1.hive.gpu-1.worker_list", []byte("{}"), patience)
	require.NoError(t, err)
	require.Less(t, int64(len(msg.Data)), nc.MaxPayload())
	p, err := decoded[page](msg.Data)
	require.NoError(t, err)
	require.Nil(t, p.Error)
	require.Empty(t, p.Next)
	require.Equal(t, want, idsOf(p.Workers))

	conf := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, "max_payload: %d\n", smallest), 0o600))
	small, err := natsd.Start(natsd.Config{ConfigFile: conf})
	require.NoError(t, err)
	t.Cleanup(small.Shutdown)
	m.serve("NATS_URL=" + small.URL())
	require.Equal(t, want, pageByPage(t, natstest.Dial(t, small.URL()), smallest))
}

// pageByPage returns the ids of all workers of gpu-1, whose hive must need many messages of a size for them.
func pageByPage(t *testing.T, nc *nats.Conn, size int) (ids []string) {
	t.Helper()
	pages := 0
	for after := ""; ; pages++ {
		msg, err := nc.Request("rbee.v1.hive.gpu-1.worker_list", fmt.Appendf(nil, `{"after":%q}`, after), patience)
		require.NoError(t, err)
		require.LessOrEqual(t, len(msg.Data), size)
		p, err := decoded[page](msg.Data)
		require.NoError(t, err)
		require.Nil(t, p.Error)
		require.NotEmpty(t, p.Workers)
		ids = append(ids, idsOf(p.Workers)...)
		if after = p.Next; after == "" {
			require.Greater(t, pages, 10)
			return ids
		}
		require.Equal(t, ids[len(ids)-1], after)
	}
}

func idsOf(workers []found) (ids []string) {
	for _, w := range workers {
		ids = append(ids, w.WorkerID)
	}
	return ids
}
