//go:build linux

package spawner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/logs"
)

// print adds text to a log, as its worker would.
func print(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

func (h *hive) logs(req messages.LogsRequest) messages.Logs {
	h.t.Helper()
	req.WorkerID = "w"
	answer, err := h.Logs(h.t.Context(), req)
	require.NoError(h.t, err)
	return answer
}

func at(place int64) messages.LogsRequest { return messages.LogsRequest{From: &place} }

func TestTailOfALog(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "live", "playing")
	begin := int64(len("playing live\n"))
	for i := range 150 {
		print(t, w.LogPath, fmt.Sprintf("line %03d\n", i))
	}
	size := begin + 150*9
	got := h.logs(messages.LogsRequest{Tail: 2})
	require.Equal(t, messages.Logs{
		HiveID: "gpu-1", WorkerID: "w", LogPath: w.LogPath, Size: size, From: size - 18, Next: size, State: messages.StateStarting,
		Lines: []string{"line 148", "line 149"},
	}, got)
	require.Len(t, h.logs(messages.LogsRequest{}).Lines, messages.DefaultTail)
	require.Len(t, h.logs(messages.LogsRequest{Tail: messages.MaxTail}).Lines, 151)

	// A line that the worker has not ended yet is left for later, and takes no other's place.
	print(t, w.LogPath, "half a li")
	got = h.logs(messages.LogsRequest{Tail: 2})
	require.Equal(t, []string{"line 148", "line 149"}, got.Lines)
	require.Equal(t, []int64{size - 18, size, size + 9}, []int64{got.From, got.Next, got.Size})
	require.Equal(t, []string{"line 149"}, h.logs(messages.LogsRequest{Tail: 1}).Lines)
	require.Empty(t, h.logs(at(got.Next)).Lines)
	print(t, w.LogPath, "ne\n")
	require.Equal(t, []string{"half a line"}, h.logs(at(got.Next)).Lines)

	print(t, w.LogPath, "last words")
	require.NoError(t, syscall.Kill(w.PID, syscall.SIGKILL))
	h.awaitState("w", messages.StateExited)
	got = h.logs(messages.LogsRequest{Tail: 1})
	require.Equal(t, []string{"last words"}, got.Lines, "no more of it will come")
	require.True(t, got.Ended())
}

func TestLogIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "code:0", "obedient")
	req := at(0)
	req.Limit = 40
	var lines []string
	printed := 0
	for {
		got := h.logs(req)
		require.LessOrEqual(t, got.Next-got.From, req.Limit)
		require.Equal(t, *req.From, got.From, "nothing is passed over")
		lines = append(lines, got.Lines...)
		if got.Ended() {
			break
		}
		req.From = &got.Next
		switch {
		case printed < 20:
			print(t, w.LogPath, fmt.Sprintf("line %d\nand ", printed))
			printed++
		case printed == 20:
			printed++
			require.NoError(t, syscall.Kill(w.PID, syscall.SIGTERM))
		}
	}
	var want strings.Builder
	want.WriteString("playing code:0\nobedient\n")
	for i := range printed - 1 {
		want.WriteString(fmt.Sprintf("line %d\nand ", i))
	}
	require.Equal(t, want.String(), strings.Join(lines, "\n"))
	require.Equal(t, messages.StateExited, h.get("w").State)
}

func TestLogTellsWhereItsWorkerIs(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.run("w", "serve:now", "playing")
	h.awaitState("w", messages.StateReady)
	require.Eventually(t, func() bool { return h.logs(messages.LogsRequest{}).State == messages.StateReady }, patience, time.Millisecond)

	other := newHive(t, nil)
	hangs := other.run("w", "serve:hang", "playing")
	awaitListening(t, hangs.Port)
	require.Eventually(t, func() bool {
		began := time.Now()
		require.Equal(t, messages.StateStarting, other.logs(messages.LogsRequest{}).State)
		return time.Since(began) < 900*time.Millisecond
	}, patience, time.Millisecond, "one that hangs is read as soon as any other")
}

func TestSecretsOfALogAreNotRead(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "live", "playing")
	print(t, w.LogPath, "GET https://me:hunter2@hub/model\n\x1b[31mred\x1b[0m \xff\n")
	for _, req := range []messages.LogsRequest{{}, at(0)} {
		require.Equal(t, []string{"playing live", "GET https://***@hub/model", "red \uFFFD"}, h.logs(req).Lines)
	}
}

func TestLogThatIsGone(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "live", "playing")
	require.NoError(t, os.Remove(w.LogPath))
	_, err := h.Logs(t.Context(), messages.LogsRequest{WorkerID: "w"})
	require.ErrorIs(t, err, messages.WorkerNotFound)
	require.ErrorContains(t, err, w.LogPath+" was swept out")
	_, err = h.Logs(t.Context(), messages.LogsRequest{WorkerID: "nobody"})
	require.ErrorIs(t, err, messages.WorkerNotFound)
}

// Whoever writes to the run directory must not have any other file read.
func TestLogOfATamperedRecordIsRefused(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "live", "playing")
	secret := filepath.Join(t.TempDir(), "secret.log")
	require.NoError(t, os.WriteFile(secret, []byte("secret\n"), 0o600))
	lock := filepath.Join(h.dir("w"), "lock")
	record, err := os.ReadFile(lock)
	require.NoError(t, err)

	// The log's name is made of the job's id: both fit together here.
	way, err := filepath.Rel(h.cfg.LogDir+"/w.x", strings.TrimSuffix(secret, ".log"))
	require.NoError(t, err)
	traverse := strings.ReplaceAll(string(record), `"job-w"`, `"x/`+way+`"`)
	for name, text := range map[string]string{
		"another file":       strings.ReplaceAll(string(record), w.LogPath, secret),
		"another job's":      strings.ReplaceAll(string(record), `"job_id":"job-w"`, `"job_id":"job-x"`),
		"outside by the job": strings.ReplaceAll(traverse, w.LogPath, secret),
	} {
		require.NotEqual(t, string(record), text, name)
		require.NoError(t, os.WriteFile(lock, []byte(text), 0o600))
		_, err := h.Logs(t.Context(), messages.LogsRequest{WorkerID: "w"})
		require.ErrorIs(t, err, messages.Internal, name)
		require.NotContains(t, err.Error(), "secret\n", name)
	}
	require.NoError(t, os.WriteFile(lock, record, 0o600))
	require.NoError(t, os.Remove(w.LogPath))
	require.NoError(t, os.Symlink(secret, w.LogPath))
	_, err = h.Logs(t.Context(), messages.LogsRequest{WorkerID: "w"})
	require.ErrorContains(t, err, "symbolic link")
}

func TestLogIsRotatedWhileItsWorkerPrints(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.KeepLog = logs.Policy{SegmentSize: 1 << 20, Segments: 2} })
	w := h.spawn(called("w", "j", "flood"))
	require.Nil(t, w.err)
	var got messages.Logs
	require.Eventually(t, func() bool {
		got = h.logs(at(0))
		return got.Missed > 0
	}, patience, 10*time.Millisecond)
	require.Equal(t, got.Start, got.Missed+(got.Start-got.From))
	require.Greater(t, got.Size, int64(2<<20))
	number := -1
	for range 20 { // it goes on, and no line of what is kept is torn or lost
		for _, line := range got.Lines {
			var n int
			_, err := fmt.Sscanf(line, "flood %d", &n)
			require.NoError(t, err, line)
			if number >= 0 && got.Missed == 0 {
				require.Equal(t, number+1, n)
			}
			got.Missed, number = 0, n
		}
		got = h.logs(at(got.Next))
	}
	require.NoError(t, syscall.Kill(w.result.PID, 0))
}

func TestOldLogsAreSwept(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.KeepExited = logs.Retention{Files: 1, Age: time.Hour} })
	lives := h.run("lives", "live", "playing")
	closed := h.run("closed", "close", "closed")
	var paths []string
	for i, worker := range []string{"ended-1", "ended-2", "ended-3"} {
		w := h.run(worker, "live", "playing")
		require.NoError(t, syscall.Kill(w.PID, syscall.SIGKILL))
		h.awaitState(worker, messages.StateExited)
		written := time.Now().Add(time.Duration(i-10) * time.Minute)
		require.NoError(t, os.Chtimes(w.LogPath, written, written))
		paths = append(paths, w.LogPath)
	}
	old := time.Now().Add(-2 * time.Hour)
	starting := filepath.Join(h.cfg.LogDir, "starting.j.log")
	earlier := filepath.Join(h.cfg.LogDir, "lives.an-earlier-job.log")
	foreign := filepath.Join(h.cfg.LogDir, "not ours.log")
	for _, path := range []string{lives.LogPath, closed.LogPath, starting, earlier, foreign} {
		if path != lives.LogPath && path != closed.LogPath {
			require.NoError(t, os.WriteFile(path, []byte("text\n"), 0o600))
		}
		require.NoError(t, os.Chtimes(path, old, old))
	}
	// A start under way holds the worker's lock before it opens the log.
	require.NoError(t, os.Mkdir(h.dir("starting"), 0o700))
	lock, err := os.Create(filepath.Join(h.dir("starting"), "lock"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = lock.Close() })
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))

	h.reopen()
	require.Eventually(t, func() bool { return gone(paths[0]) && gone(paths[1]) && gone(earlier) }, patience, time.Millisecond)
	for _, path := range []string{lives.LogPath, closed.LogPath, starting, foreign, paths[2]} {
		require.FileExists(t, path)
	}
	_, err = h.Logs(t.Context(), messages.LogsRequest{WorkerID: "ended-1"})
	require.ErrorIs(t, err, messages.WorkerNotFound)
	require.Equal(t, messages.StateExited, h.get("ended-1").State, "its record outlives its log")
}

func gone(path string) bool {
	_, err := os.Stat(path)
	return os.IsNotExist(err)
}

func TestLogPolicyThatCannotBeKept(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	cfg := h.cfg
	cfg.KeepLog.Segments = 1
	_, err := spawner.New(cfg)
	require.ErrorContains(t, err, "keep 2 or more")
}
