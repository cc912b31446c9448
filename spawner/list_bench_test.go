//go:build linux

package spawner_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/tinyworker"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// crowd is a hive with as many tiny workers, none of which listens, on a machine with others more processes.
func crowd(b *testing.B, workers, others int) *spawner.Spawner {
	b.Helper()
	code, err := tinyworker.Binary()
	require.NoError(b, err)
	dir := b.TempDir()
	entry := filepath.Join(dir, "catalog", cpuWorker+"-v0.1.0-linux")
	require.NoError(b, os.MkdirAll(entry, 0o755))
	tiny := filepath.Join(entry, cpuWorker)
	require.NoError(b, os.WriteFile(tiny, code, 0o755))
	for range others {
		cmd := exec.Command(tiny)
		require.Eventually(b, func() bool { return cmd.Start() == nil }, time.Second, time.Millisecond) // ETXTBSY
		b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	run := dir
	if shm, err := os.MkdirTemp("/dev/shm", "hive-bench"); err == nil { //nolint:usetesting // a tmpfs, where a run directory belongs
		run = shm
		b.Cleanup(func() { _ = os.RemoveAll(shm) })
	}
	s, err := spawner.New(spawner.Config{
		HiveID: "gpu-1", RunDir: filepath.Join(run, "run"), LogDir: filepath.Join(dir, "log"), CatalogDir: filepath.Join(dir, "catalog"), Ports: ports(b, 400),
	})
	require.NoError(b, err)
	var pids []int
	b.Cleanup(func() { // the ended ones must be gone, or they are in the way of the next measurement
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		for s.Living() > 0 {
			time.Sleep(time.Millisecond)
		}
		_ = s.Close()
	})
	for i := range workers {
		got, err := s.Spawn(b.Context(), called(fmt.Sprintf("worker-%03d", i), "job", "m"), func(messages.Event) {}, holdsNothing)
		require.NoError(b, err)
		pids = append(pids, got.PID)
	}
	// From then on the hive may remember what it read of them.
	time.Sleep(1100 * time.Millisecond)
	return s
}

func BenchmarkList(b *testing.B) {
	for _, others := range []int{0, 2000} {
		b.Run(fmt.Sprintf("workers=100/others=%d", others), func(b *testing.B) {
			s := crowd(b, 100, others)
			for b.Loop() {
				page, err := s.List(b.Context(), messages.ListRequest{})
				if err != nil || len(page.Workers) != 100 {
					b.Fatal(len(page.Workers), err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, others := range []int{0, 2000} {
		b.Run(fmt.Sprintf("workers=100/others=%d", others), func(b *testing.B) {
			s := crowd(b, 100, others)
			for b.Loop() {
				if _, err := s.Get(b.Context(), messages.GetRequest{WorkerID: "worker-050"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
