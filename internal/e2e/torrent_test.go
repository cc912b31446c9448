//go:build linux

package e2e_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// A worker that prints 100 MB/s is nobody's trouble: jobs and questions are answered, the disk does not fill, and who follows its
// log is told how much of it was never read.
func TestATorrentDisturbsNobody(t *testing.T) {
	t.Parallel()
	for try := 1; torrent(t) >= 180<<20; try++ { // what is printed from one second to the next, with slack: without rotation it is 200 MB
		require.Less(t, try, 5, "the disk fills") // one may meet a machine that stands still for a second
	}
}

// torrent has a hive have such a worker, and returns how much of the disk its log used at most.
func torrent(t *testing.T) (most int64) {
	t.Helper()
	const keeps = 3 // MiB
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	h := m.serve(fmt.Sprintf("RBEE_LOG_SIZE=%d", keeps))
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "reply.>")
	noisy := spawn(t, wire.nc, "gpu-1", `{"job_id":"noisy","worker_id":"noisy","model":"torrent","device":"cpu"}`)
	follower := follow(t, natstest.Dial(t, server.URL()), "noisy")

	jobs := 0
	for ended := false; !ended; jobs++ {
		quiet := spawn(t, wire.nc, "gpu-1", jobFor(fmt.Sprintf("job-%d", jobs), "m"))
		all := list(t, wire.nc, false)
		require.Contains(t, idsOf(all), quiet.WorkerID)
		most = max(most, blocks(t, noisy.LogPath))
		remove(t, wire.nc, fmt.Sprintf(`{"worker_id":%q}`, quiet.WorkerID))
		ended = get(t, wire.nc, "noisy").State == "exited"
	}
	if jobs < 2 { // one at least is to begin and end meanwhile
		return math.MaxInt64
	}
	w := get(t, wire.nc, "noisy")
	require.NotNil(t, w.ExitCode)
	require.Zero(t, *w.ExitCode)

	read := follower()
	require.Equal(t, size(noisy.LogPath), read.end)
	require.Equal(t, read.end, read.seen+read.missed, "every byte was read or is said to be missing")
	require.Positive(t, read.seen)
	t.Logf("printed %d MB during %d jobs: %d MB of disk at most; followed %d MB and missed %d MB", read.end>>20, jobs, most>>20, read.seen>>20, read.missed>>20)
	eventually(t, func() bool { return blocks(t, noisy.LogPath) <= (keeps+1)<<20 }, "the log keeps too much")
	require.True(t, alive(h.PID()))
	return most
}

// progress is what a follower of a log came by.
type progress struct {
	seen, missed, end int64 // bytes
}

// follow follows a log of gpu-1 from its beginning, and returns what waits until the worker has ended and all was read.
func follow(t *testing.T, nc *nats.Conn, worker string) (wait func() progress) {
	t.Helper()
	var p progress
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	go func() {
		defer cancel()
		done <- queen.New(nc, queen.Config{}).Follow(ctx, "gpu-1", worker, 0, func(part messages.Logs) error {
			if part.From != p.end+part.Missed {
				return fmt.Errorf("a part from %d that misses %d, behind %d", part.From, part.Missed, p.end)
			}
			length := int64(0)
			for _, line := range part.Lines {
				if line != "playing torrent" && strings.ReplaceAll(line+" ", "torrent ", "") != "" {
					return fmt.Errorf("a line that was torn: %q", line)
				}
				length += int64(len(line)) + 1
			}
			if length != part.Next-part.From {
				return fmt.Errorf("lines of %d bytes from %d to %d", length, part.From, part.Next)
			}
			p.seen, p.missed, p.end = p.seen+length, p.missed+part.Missed, part.Next
			return nil
		})
	}()
	return func() progress {
		t.Helper()
		require.NoError(t, <-done)
		return p
	}
}

// blocks returns how much disk the file uses, in bytes.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}
