package logs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// onDisk returns the size of a log and how much of it takes place on the disk.
func onDisk(t require.TestingT, path string) (size, disk int64) {
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size(), info.Sys().(*syscall.Stat_t).Blocks * 512
}

// checkDisk checks that a log which keeps so many bytes takes no more of the disk. XFS gives a file that grows more
// than it needs in advance, until it is closed (xfs(5), allocsize): there is no bound to check on it.
func checkDisk(t require.TestingT, path string, disk, kept int64) {
	var fs unix.Statfs_t
	require.NoError(t, unix.Statfs(path, &fs))
	if fs.Type != unix.XFS_SUPER_MAGIC {
		require.LessOrEqual(t, disk, kept+slack)
	}
}

// slack is what a file may take on the disk besides what it keeps: the rest of a block at both ends, and what a file
// system needs to find them.
const slack = 128 << 10

func TestRotate(t *testing.T) {
	t.Parallel()
	text := some(5 * minSegment)
	path := write(t, text)
	freed, err := Rotate(path, small)
	require.NoError(t, err)

	all, err := Range(path, 0, MaxLimit, false)
	require.NoError(t, err)
	require.Equal(t, freed, all.Start)
	require.Equal(t, []int64{all.Start, all.Start, int64(len(text))}, []int64{all.From, all.Missed, all.Size})
	require.LessOrEqual(t, all.Start, int64(3*minSegment))
	require.Greater(t, all.Start, int64(3*minSegment-2*lineWidth))
	require.Zero(t, all.Start%lineWidth, "a line begins there")
	require.Equal(t, strings.TrimSpace(text[all.Start:all.Start+lineWidth]), strings.TrimSpace(all.Lines[0]))
	require.False(t, all.Inside)

	size, disk := onDisk(t, path)
	require.Equal(t, int64(len(text)), size, "the size stays")
	checkDisk(t, path, disk, size-all.Start)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	requireSame(t, text[all.Start:], string(data[all.Start:]))
	require.Empty(t, strings.Trim(string(data[:all.Start]), "\x00"), "the rest reads as zeros")

	again, err := Rotate(path, small)
	require.NoError(t, err)
	require.Zero(t, again, "there is nothing more to do")
	extend(t, path, text[:minSegment])
	again, err = Rotate(path, small)
	require.NoError(t, err)
	require.InDelta(t, minSegment, again, 2*lineWidth, "the next segment")
	next, err := Range(path, all.Next, 0, false)
	require.NoError(t, err)
	require.Zero(t, next.Missed, "a reader who is further misses nothing")
}

func TestALogWithinThePolicyIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := write(t, some(3 * minSegment)[:3*minSegment])
	freed, err := Rotate(path, small)
	require.NoError(t, err)
	require.Zero(t, freed)
	chunk, err := Range(path, 0, 0, false)
	require.NoError(t, err)
	require.Zero(t, chunk.Start)
}

func TestRotateALineWithoutAnEnd(t *testing.T) {
	t.Parallel()
	path := write(t, strings.Repeat("x", 5*minSegment)+"\nnext\n")
	_, err := Rotate(path, small)
	require.NoError(t, err)
	chunk, err := Range(path, 0, 0, false)
	require.NoError(t, err)
	require.Equal(t, int64(3*minSegment), chunk.Start)
	require.Equal(t, chunk.Start, chunk.Missed)
	require.True(t, chunk.Inside)
	require.Len(t, chunk.Lines[0], MaxLine)
	chunk, err = Range(path, 0, MaxLimit, false)
	require.NoError(t, err)
	require.True(t, chunk.Inside, "its end is not within the limit")

	extend(t, path, strings.Repeat("y\n", minSegment/2))
	_, err = Rotate(path, small)
	require.NoError(t, err)
	chunk, err = Tail(path, 0, MaxLines, MaxLimit)
	require.NoError(t, err)
	require.Equal(t, "y", chunk.Lines[0])

	path = write(t, strings.Repeat("x", 3*minSegment+lookBack)+"\n"+some(2*minSegment))
	_, err = Rotate(path, small)
	require.NoError(t, err)
	chunk, err = Range(path, 0, MaxLimit, false)
	require.NoError(t, err)
	require.Equal(t, int64(3*minSegment), chunk.Start)
	require.Equal(t, int64(3*minSegment+lookBack+1), chunk.From, "the first whole line")
	require.Equal(t, chunk.From, chunk.Missed)
	require.Equal(t, numbered("w", 0), chunk.Lines[0])
	require.False(t, chunk.Inside)
}

func TestRotateZeros(t *testing.T) {
	t.Parallel()
	path := write(t, strings.Repeat("\x00", 20<<20))
	_, err := Rotate(path, small)
	require.NoError(t, err)
	size, disk := onDisk(t, path)
	checkDisk(t, path, disk, small.keep())
	var next int64
	for next < size {
		chunk, err := Range(path, next, MaxLimit, true)
		require.NoError(t, err)
		require.Greater(t, chunk.Next, next)
		next = chunk.Next
	}
}

// TestRotateAnything rotates logs of all kinds while they grow: what is kept is the end of what was written, and begins
// with a line.
func TestRotateAnything(t *testing.T) {
	t.Parallel()
	path := write(t, "")
	rapid.Check(t, func(rt *rapid.T) {
		require.NoError(rt, os.WriteFile(path, nil, 0o600))
		var text strings.Builder
		var freed int64
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			width := rapid.IntRange(1, 2*lookBack).Draw(rt, "width")
			more := strings.Repeat(strings.Repeat("x", width-1)+"\n", 1+rapid.IntRange(0, 3*minSegment).Draw(rt, "bytes")/width)
			extend(t, path, more)
			text.WriteString(more)
			n, err := Rotate(path, small)
			require.NoError(rt, err)
			freed += n
		}
		chunk, err := Range(path, 0, MaxLimit, true)
		require.NoError(rt, err)
		require.Equal(rt, freed, chunk.Start)
		require.GreaterOrEqual(rt, chunk.From, chunk.Start)
		require.LessOrEqual(rt, chunk.Size-chunk.Start, small.keep()+lookBack)
		if freed > 0 {
			require.GreaterOrEqual(rt, chunk.Size-chunk.Start, small.keep()-small.SegmentSize)
		}
		data, err := os.ReadFile(path)
		require.NoError(rt, err)
		requireSame(rt, text.String()[chunk.Start:], string(data[chunk.Start:]))
		if chunk.From > 0 {
			require.Equal(rt, byte('\n'), text.String()[chunk.From-1], "a line begins there")
		}
		_, disk := onDisk(rt, path)
		checkDisk(rt, path, disk, chunk.Size-chunk.Start)
	})
}

// TestUnsupportedErrors takes the answers of file systems and kernels that cannot do it.
func TestUnsupportedErrors(t *testing.T) {
	t.Parallel()
	path := write(t, some(5*minSegment))
	for _, errno := range []error{unix.EOPNOTSUPP, unix.ENOSYS} {
		_, err := rotate(path, small, func(*os.File, int64, int64) error { return errno })
		var unsupported *UnsupportedError
		require.ErrorAs(t, err, &unsupported)
		require.ErrorIs(t, err, errno)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
}

func TestRotateAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := []byte(some(5 * minSegment))
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	put("a.log", large)
	put("b.log", large)
	put("small.log", []byte("one\n"))
	put("empty.log", nil)
	other := put("other.txt", large)
	require.NoError(t, os.Symlink(other, filepath.Join(dir, "symlink.log")))
	require.NoError(t, os.Link(other, filepath.Join(dir, "hardlink.log")))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "pipe.log"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "dir.log"), 0o700))
	done, err := RotateAll(dir, small)
	require.NoError(t, err)
	require.Equal(t, 2, done.Rotated)
	require.InDelta(t, 2*2*minSegment, done.Freed, 2*minSegment+4*lineWidth)
	var reasons []string
	for _, skipped := range done.Skipped {
		var refused *NotLogError
		require.ErrorAs(t, skipped, &refused)
		reasons = append(reasons, filepath.Base(refused.Path)+" "+refused.Reason)
	}
	require.Equal(t, []string{
		"dir.log is a directory", "hardlink.log has 2 names (hard links)",
		"pipe.log is not a regular file (prw-------)", "symlink.log is a symbolic link",
	}, reasons)
	_, disk := onDisk(t, other)
	require.GreaterOrEqual(t, disk, int64(len(large)), "nothing else was freed")

	done, err = RotateAll(dir, small)
	require.NoError(t, err)
	require.Zero(t, done.Rotated)
	_, err = RotateAll(filepath.Join(dir, "none"), small)
	require.ErrorIs(t, err, os.ErrNotExist)
}
