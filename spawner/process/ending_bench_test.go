//go:build linux

package process_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/spawner/process"
)

// What a hive's list of 100 workers costs among 2,000 processes: one table, and the members and usage of each worker. The
// others share one session, as the children of one shell do, or have 200, or each its own, which is the worst case.
func BenchmarkSnapshot(b *testing.B) {
	const workers, all = 100, 2000
	for name, sessions := range map[string]int{"others in one session": 0, "others in 200 sessions": 200, "others in a session each": all} {
		b.Run(name, func(b *testing.B) {
			leaders := crowd(b, workers, all, sessions)
			var s process.Snapshot
			var times []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				began := time.Now()
				require.NoError(b, s.Take())
				for _, leader := range leaders {
					require.Equal(b, 1, s.Usage(leader).Processes)
				}
				times = append(times, time.Since(began))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "µs-p50")
		})
	}
}

// What it costs to look at one of them.
func BenchmarkTakeFor(b *testing.B) {
	const workers, all = 100, 2000
	leaders := crowd(b, workers, all, 200)
	var s process.Snapshot
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, s.TakeFor(leaders[0]))
		require.Equal(b, 1, s.Usage(leaders[0]).Processes)
	}
}

// crowd starts so many processes, the workers among them, and returns the workers. They are dead when the benchmark ends.
func crowd(b *testing.B, workers, all, sessions int) []process.Identity {
	b.Helper()
	data, err := exec.Command("cat", "/proc/sys/kernel/random/boot_id").Output()
	require.NoError(b, err)
	boot := string(data[:len(data)-1])
	var leaders []process.Identity
	for i := range all {
		cmd := exec.Command("sleep", "100")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: i < workers+sessions}
		require.NoError(b, cmd.Start())
		b.Cleanup(func() { _ = cmd.Wait() })
		b.Cleanup(func() { _ = cmd.Process.Kill() })
		if i < workers {
			leaders = append(leaders, identityOf(b, cmd.Process.Pid, boot))
		}
	}
	return leaders
}

// What an end takes among 2,000 processes: all of it, and how long behind the worker's own exit the answer comes.
func BenchmarkEnd(b *testing.B) {
	crowd(b, 100, 2000, 200)
	dir := b.TempDir()
	first, last := porttest.Lease(b, 49)
	run, err := process.OpenRunDir(filepath.Join(dir, "run"))
	require.NoError(b, err)
	self, err := os.Executable()
	require.NoError(b, err)
	watcher := process.NewWatcher()
	defer watcher.Close()
	var took, behind []time.Duration
	for b.Loop() {
		claim, err := run.Claim("w1")
		require.NoError(b, err)
		port, err := run.Ports(process.PortRange{First: first, Last: last}).Take(0)
		require.NoError(b, err)
		require.NoError(b, claim.Prepare([]byte(`{"worker":"w1"}`)))
		tree := process.Tree{Worker: "w1", Port: port.Number, Env: []string{"TREE_TEST_RUN=" + dir}}
		p, err := process.Start(process.Command{
			Path: self, Env: append(tree.Env, playAs+"=tree say=leader wait", endAtOnce), Dir: "/", LogPath: filepath.Join(dir, "log"),
		}, claim, port)
		require.NoError(b, err)
		require.NoError(b, claim.Commit(p.Started))
		claim.Release()
		port.Release()
		tree.Leader = p.Identity
		watcher.Watch(p, func(process.Exit) {})
		require.Eventually(b, func() bool {
			info, err := os.Stat(filepath.Join(dir, "log"))
			return err == nil && info.Size() > p.LogStart+40 // it has said both its lines
		}, patience, time.Millisecond)
		exited := make(chan time.Time, 1)
		pidfd, err := unix.PidfdOpen(p.PID, 0)
		require.NoError(b, err)
		go func() {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
			exited <- time.Now()
		}()
		ending, err := run.End(b.Context(), tree, process.EndConfig{})
		require.NoError(b, err)
		require.Equal(b, "SIGTERM", ending.Signal)
		took, behind = append(took, ending.Took), append(behind, time.Since(<-exited))
		_ = unix.Close(pidfd)
		<-p.Done()
	}
	slices.Sort(took)
	slices.Sort(behind)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(behind[len(behind)/2].Microseconds()), "µs-behind-exit-p50")
	b.ReportMetric(float64(behind[len(behind)*99/100].Microseconds()), "µs-behind-exit-p99")
}
