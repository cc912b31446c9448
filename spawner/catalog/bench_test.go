//go:build unix

package catalog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

// Resolving and verifying a worker among 200 entries, each with a manifest and a checksum, is a small part of a spawn.
func BenchmarkChooseAmong200(b *testing.B) {
	for name, clock := range map[string]time.Duration{"kept": time.Hour, "just changed": -time.Hour} {
		b.Run(name, func(b *testing.B) {
			dir := newCatalog(b)
			for i := range 200 {
				worker := fmt.Sprintf("worker-%d", i/10)
				withManifest(b, dir, here(fmt.Sprintf("%s-v1.%d.0-PLATFORM", worker, i%10)), worker, summed)
			}
			installed := catalog.Open(dir)
			installed.SetClock(func() time.Time { return time.Now().Add(clock) })
			require.NoError(b, installed.Pin("worker-3", "1.4.0"))
			for b.Loop() {
				choice, _, err := installed.Choose(b.Context(), "worker-7", "")
				if err != nil {
					b.Fatal(err)
				}
				choice.Program.Close()
			}
		})
	}
}

// The size of a program counts once: a second look at 500 MB costs what one at 1 MB does.
func BenchmarkChooseAgain(b *testing.B) {
	for name, size := range map[string]int64{"1 MB": 1e6, "500 MB": 500e6} {
		b.Run(name, func(b *testing.B) {
			dir := newCatalog(b)
			path := filepath.Join(addEntry(b, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu), cpu)
			require.NoError(b, os.Truncate(path, size)) // a sparse file is as long to hash
			installed := catalog.Open(dir)
			entry, _, err := installed.Find(cpu, "")
			require.NoError(b, err)
			entry.Manifest = &catalog.Manifest{SHA256: "0"}
			_, err = installed.Verify(b.Context(), entry)
			var mismatch *catalog.ChecksumError
			require.ErrorAs(b, err, &mismatch)
			manifest := fmt.Sprintf(`{"sha256":%q}`, mismatch.Got)
			require.NoError(b, os.WriteFile(filepath.Join(entry.Dir, catalog.ManifestName), []byte(manifest), 0o644))
			for b.Loop() {
				choice, _, err := installed.Choose(b.Context(), cpu, "")
				if err != nil {
					b.Fatal(err)
				}
				choice.Program.Close()
			}
		})
	}
}
