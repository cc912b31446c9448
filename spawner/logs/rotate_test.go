package logs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// small is a policy that a test can outgrow: 3 segments of 256 KiB.
var small = Policy{SegmentSize: minSegment, Segments: 3}

func TestPolicies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		policy Policy
		keep   int64
		err    string
	}{
		"the default":       {Policy{}, 192 << 20, ""},
		"small":             {small, 768 << 10, ""},
		"rounded up":        {Policy{SegmentSize: 1<<20 + 1, Segments: 2}, 2 * (1<<20 + 64<<10), ""},
		"too small":         {Policy{SegmentSize: 1}, 0, "use 262144 or more"},
		"negative size":     {Policy{SegmentSize: -1}, 0, "too small"},
		"one segment":       {Policy{Segments: 1}, 0, "keep 2 or more"},
		"negative segments": {Policy{Segments: -3}, 0, "too few"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy, err := test.policy.checked()
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				_, err = Rotate(filepath.Join(t.TempDir(), "worker.job.log"), test.policy)
				require.ErrorContains(t, err, test.err)
				_, err = RotateAll(t.TempDir(), test.policy)
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.keep, policy.keep())
		})
	}
}

// cannot is a file system that cannot free parts of a file.
func cannot(*os.File, int64, int64) error {
	return &os.SyscallError{Syscall: "fallocate", Err: errors.ErrUnsupported}
}

func TestWhereNothingCanBeFreed(t *testing.T) {
	t.Parallel()
	text := some(2 << 20)
	path := write(t, text)
	dir := filepath.Dir(path)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.log"), []byte(text), 0o600))

	freed, err := rotate(path, small, cannot)
	require.Zero(t, freed)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	var unsupported *UnsupportedError
	require.ErrorAs(t, err, &unsupported)
	require.Equal(t, path, unsupported.Path)
	require.ErrorContains(t, err, "put the logs on a file system")

	asked := 0
	done, err := rotateAll(dir, small, func(file *os.File, offset, length int64) error {
		asked++
		return cannot(file, offset, length)
	})
	require.ErrorAs(t, err, &unsupported)
	require.Empty(t, done)
	require.Equal(t, 1, asked, "once for the directory")

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	requireSame(t, text, string(data))
}

func TestAnythingElseThatFails(t *testing.T) {
	t.Parallel()
	path := write(t, some(2<<20))
	broken := errors.New("broken")
	_, err := rotate(path, small, func(*os.File, int64, int64) error { return broken })
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, path)
	done, err := rotateAll(filepath.Dir(path), small, func(*os.File, int64, int64) error { return broken })
	require.NoError(t, err)
	require.Len(t, done.Skipped, 1)
	require.ErrorIs(t, done.Skipped[0], broken)
}
