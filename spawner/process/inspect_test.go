//go:build linux

package process_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/process"
)

func TestInspectRunDirChangesNothing(t *testing.T) {
	t.Parallel()
	above := t.TempDir()
	path := filepath.Join(above, "run")
	_, err := process.InspectRunDir(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoDirExists(t, path)

	require.NoError(t, os.Mkdir(path, 0o700))
	run, err := process.InspectRunDir(path)
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Join(path, "workers"))
	owner, err := run.Owner()
	require.NoError(t, err)
	require.Empty(t, owner)

	made, err := process.OpenRunDir(path)
	require.NoError(t, err)
	require.NoError(t, made.Belong("gpu-1"))
	run, err = process.InspectRunDir(path)
	require.NoError(t, err)
	require.Equal(t, made.Path(), run.Path())
	owner, err = run.Owner()
	require.NoError(t, err)
	require.Equal(t, "gpu-1", owner)
}

// What OpenRunDir refuses, InspectRunDir refuses in the same words.
func TestInspectRunDirRefusesWhatOpenRunDirDoes(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"open":        func(path string) error { return os.Chmod(path, 0o777) },
		"open inside": func(path string) error { return os.Chmod(path+"/ports", 0o777) },
		"a file":      func(path string) error { return os.RemoveAll(path) },
		"a link":      func(path string) error { return os.Rename(path, path+".real") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "run")
			_, err := process.OpenRunDir(path)
			require.NoError(t, err)
			require.NoError(t, spoil(path))
			switch name {
			case "a file":
				require.NoError(t, os.WriteFile(path, nil, 0o600))
			case "a link":
				require.NoError(t, os.Symlink(path+".real", path))
			}
			_, want := process.OpenRunDir(path)
			require.Error(t, want)
			_, err = process.InspectRunDir(path)
			require.EqualError(t, err, want.Error())
		})
	}
}

func TestBindable(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	require.ErrorIs(t, process.Bindable(port), process.ErrHeld)
	require.NoError(t, listener.Close())
	require.NoError(t, process.Bindable(port))
}
