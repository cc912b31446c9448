//go:build unix

package process_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/process"
)

func TestAMarkTellsDirectoriesApart(t *testing.T) {
	t.Parallel()
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	mark := process.Mark(dir)
	require.Regexp(t, `^[0-9a-f]{16}$`, mark)
	require.Equal(t, mark, process.Mark(link), "it is the same directory")
	require.NotEqual(t, mark, process.Mark(t.TempDir()))
	require.Empty(t, process.Mark(filepath.Join(dir, "none")))
}
