package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func TestScreenDrawsWhatChanged(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := screen{w: &b}
	require.NoError(t, s.draw([]string{"a", "b"}))
	require.Equal(t, "\x1b[?25l\x1b[H\x1b[Ka\r\n\x1b[Kb\r\n\x1b[J", b.String())
	b.Reset()
	require.NoError(t, s.draw([]string{"a", "b"}))
	require.Empty(t, b.String(), "nothing has changed")
	require.NoError(t, s.draw([]string{"a"}))
	require.Equal(t, "\x1b[?25l\x1b[H\x1b[Ka\r\n\x1b[J", b.String())
	b.Reset()
	s.leave()
	require.Equal(t, "\x1b[?25h", b.String())

	b.Reset()
	s = screen{w: &b}
	s.leave()
	require.Empty(t, b.String(), "the cursor was never hidden")
}

func TestWorkerTableKeepsToItsWidth(t *testing.T) {
	t.Parallel()
	workers := []seenWorker{{
		ID: "w1", Hive: "gpu-1", State: "ready", Seen: seenRuns,
		Runs: &messages.Worker{WorkerID: "w1", Model: "модель\x1b[31m\n" + strings.Repeat("m", 100), Port: 9001},
	}}
	for _, width := range []int{0, 1, 20, 80} {
		for _, line := range workerTable(workers, cli.Paint{}, width) {
			require.NotContains(t, line, "\x1b")
			if width > 0 {
				require.LessOrEqual(t, len([]rune(line)), width)
			}
		}
	}
}

func TestNarrowWorkerTableDoesWithoutColumns(t *testing.T) {
	t.Parallel()
	id := "worker-dc8db36c-7292-57d8-b9c1-4d47b0d61798"
	workers := []seenWorker{{
		ID: id, Hive: "local", State: "ready", Seen: seenBoth,
		Runs: &messages.Worker{WorkerID: id, Model: "meta-llama/Llama-3-8b", Device: "cpu", Port: 9001, PID: 12345},
	}}
	heads := func(width int) []string { return strings.Fields(workerTable(workers, cli.Paint{}, width)[0]) }
	require.Equal(t, []string{"WORKER", "STATE", "SEEN", "MODEL", "DEVICE", "HIVE", "PORT"}, heads(80))
	require.Equal(t, []string{"WORKER", "STATE", "SEEN", "MODEL", "HIVE"}, heads(63))
	require.Equal(t, []string{"WORKER", "STATE", "SEEN", "HIVE"}, heads(50))
	require.Equal(t, []string{"WORKER", "STATE", "SEEN", "MODEL", "DEVICE", "HIVE", "PORT", "PID", "HEARD"}, heads(95))
	require.Len(t, heads(0), 11)
}

func TestTablesShortenIDsThatHivesMade(t *testing.T) {
	t.Parallel()
	shown := func(ids ...string) (got []string) {
		rows := [][]string{{"WORKER"}}
		for _, id := range ids {
			rows = append(rows, []string{id})
		}
		shorten(rows, "WORKER")
		for _, row := range rows[1:] {
			got = append(got, row[0])
		}
		return got
	}
	const made, alike = "worker-dc8db36c-7292-57d8-b9c1-4d47b0d61798", "worker-dc8db36c-0000-57d8-b9c1-4d47b0d61798"
	const timed = "worker-01a21441-e1dd-7a2c-b1a7-92a214171acc" // its beginning says when it was made, and is that of others
	require.Equal(t, []string{"worker-dc8db36c", "worker-dc8db36c", "chat", timed}, shown(made, made, "chat", timed))
	require.Equal(t, []string{made, alike}, shown(made, alike), "they would look the same")
}

func TestLongModelsAreCutBeforeTheyGo(t *testing.T) {
	t.Parallel()
	workers := []seenWorker{{
		ID: "w1", Hive: "local", State: "ready", Seen: seenBoth,
		Runs: &messages.Worker{WorkerID: "w1", Model: "/srv/models/" + strings.Repeat("a", 80) + "/Llama-3-8b.gguf", Port: 9001},
	}}
	lines := workerTable(workers, cli.Paint{}, 80)
	require.Regexp(t, `^w1 +ready +runs, heard +…a+/Llama-3-8b.gguf +local$`, lines[1])
}

func TestNarrowJobTableKeepsHiveAndModel(t *testing.T) {
	t.Parallel()
	jobs := []queen.QueuedJob{{
		JobID: "job-01a21441-e1dd-7a2c-b1a7-92a214171acc", HiveID: "gpu-1", State: queen.JobCancelled, Operation: messages.WorkerSpawn,
		Model: "meta-llama/Llama-3-8b", WorkerID: "worker-dc8db36c-7292-57d8-b9c1-4d47b0d61798", EndedAt: time.Now(),
	}}
	require.Regexp(t, `^job-01a21441-e1dd-7a2c-b1a7-92a214171acc +cancelled +gpu-1 +…\S+/Llama-3-8b$`, jobTable(jobs, 80)[1])
	require.Contains(t, jobTable(jobs, 0)[1], " worker-dc8db36c ")
}

func TestSize(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]int64{"": 0, "1 B": 1, "1023 B": 1023, "1 KiB": 1024, "1.5 KiB": 1536, "2 GiB": 2 << 30, "1024 TiB": 1 << 50} {
		require.Equal(t, want, size(n))
	}
}
