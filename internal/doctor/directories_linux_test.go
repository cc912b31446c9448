package doctor

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// asNobody runs f with the rights on files that a user has who owns nothing here.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 { // the directories that f looks at are closed to their owner, too
		f()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, err := unix.SetfsuidRetUid(65534)
	require.NoError(t, err)
	defer func() {
		_, err := unix.SetfsuidRetUid(0)
		require.NoError(t, err)
	}()
	f()
}

func TestWhatCannotBeWritten(t *testing.T) {
	t.Parallel()
	closed := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(closed), 0o755))
	require.NoError(t, os.Chmod(closed, 0o555))
	t.Cleanup(func() { require.NoError(t, os.Chmod(closed, 0o700)) })
	var found []Check
	asNobody(t, func() { found = missing(filepath.Join(closed, "a", "run"), "name another") })
	require.Len(t, found, 1)
	require.Equal(t, Failure, found[0].Status)
	require.Contains(t, found[0].Message, "does not exist, and serve cannot make it: access "+closed+": permission denied")
	require.Equal(t, "make it for this user, or name another", found[0].Advice)
}

func TestDisks(t *testing.T) {
	t.Parallel()
	d, known, err := diskOf(t.TempDir() + "/missing/below")
	require.NoError(t, err)
	require.True(t, known)
	require.Positive(t, d.free)
	require.Positive(t, d.files)
	shm, _, err := diskOf("/dev/shm")
	require.NoError(t, err)
	require.True(t, shm.memory, "/dev/shm is a tmpfs")

	require.Equal(t, OK, runDisk("/dev/shm/missing")[0].Status)
	require.Contains(t, runDisk("/dev/shm")[0].Message, "tmpfs, ")
	require.Equal(t, Warning, logDisk("/dev/shm")[0].Status)
	require.Contains(t, logDisk("/dev/shm")[0].Message, "on a tmpfs")
	require.Equal(t, Failure, runDisk("/proc")[0].Status)
	require.Equal(t, "its disk is full: 0 bytes are free", logDisk("/proc")[0].Message)
}
