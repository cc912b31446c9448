//go:build unix

package catalog_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

// owned is what is told of a file that belongs to another user.
type owned struct {
	fs.FileInfo
	user uint32
}

func (o owned) Sys() any {
	stat := *o.FileInfo.Sys().(*syscall.Stat_t)
	stat.Uid = o.user
	return &stat
}

// An installation that takes long is not taken for one that crashed.
func TestWhatIsBeingInstalledIsNotSweptOut(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	past := time.Now().Add(-time.Hour)
	for _, name := range []string{".install-busy", ".install-crashed"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.Mkdir(path, 0o700))
		require.NoError(t, os.Chtimes(path, past, past))
	}
	busy, err := os.Open(filepath.Join(dir, ".install-busy"))
	require.NoError(t, err)
	defer busy.Close()
	require.NoError(t, syscall.Flock(int(busy.Fd()), syscall.LOCK_EX))
	entry := here(cpu + "-v1.0.0-PLATFORM-ARCH")
	_, err = catalog.Open(dir).Install(cpu, "1.0.0", source(t, program(t), 0o755))
	require.NoError(t, err)
	requireNames(t, dir, ".install-busy", entry)
	require.NoError(t, busy.Close())
	_, err = catalog.Open(dir).Remove(cpu, "1.0.0", false)
	require.NoError(t, err)
	requireNames(t, dir)
}
