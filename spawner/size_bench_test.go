//go:build linux

package spawner_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// A worker of 500 MB is started again as fast as one of 1 MB: its checksum is computed once. The worker is a small program
// behind which the file goes on.
func BenchmarkSpawnAgain(b *testing.B) {
	for name, size := range map[string]int64{"1MB": 1e6, "500MB": 500e6} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			program := filepath.Join(dir, "program")
			sleep, err := exec.LookPath("sleep")
			require.NoError(b, err)
			data, err := os.ReadFile(sleep)
			require.NoError(b, err)
			require.NoError(b, os.WriteFile(program, data, 0o755))
			require.NoError(b, os.Truncate(program, size))
			from := filepath.Join(dir, "from")
			require.NoError(b, os.Mkdir(from, 0o755))
			require.NoError(b, os.Rename(program, filepath.Join(from, cpuWorker)))
			require.NoError(b, os.WriteFile(filepath.Join(from, catalog.ManifestName), []byte(`{"args":["100"]}`), 0o644))
			cfg := spawner.Config{
				HiveID: "gpu-1", RunDir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log"), CatalogDir: filepath.Join(dir, "catalog"), Ports: ports(b, 400),
			}
			_, err = catalog.Open(cfg.CatalogDir).Add(b.Context(), catalog.Addition{From: from, Name: cpuWorker, Version: "1.0.0"})
			require.NoError(b, err)
			s, err := spawner.New(cfg)
			require.NoError(b, err)
			defer s.Close()
			jobs := 0
			spawn := func() {
				jobs++
				result, err := s.Spawn(b.Context(), job("j"+strconv.Itoa(jobs), "m"), func(messages.Event) {}, holdsNothing)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				_ = syscall.Kill(result.PID, syscall.SIGKILL)
				b.StartTimer()
			}
			spawn() // the first one may compute it
			b.ResetTimer()
			for b.Loop() {
				spawn()
			}
		})
	}
}
