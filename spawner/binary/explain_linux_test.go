package binary_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	worker "github.com/rbee-keeper/hive/spawner/binary"
)

func TestExplainOfPrograms(t *testing.T) {
	t.Parallel()
	native := nativeMachine(t)
	sound, other := elf(native, noLoader), uint16(62)
	if native == other {
		other = 183
	}
	notExecutable := write(t, "loader", elf(native, noLoader), 0o644)
	tests := map[string]struct {
		content []byte
		errno   syscall.Errno
		cause   worker.Cause
		says    string
	}{
		"loader missing":        {elf(native, "/lib/ld-none.so.1"), syscall.ENOENT, worker.Loader, "/lib/ld-none.so.1"},
		"loader not executable": {elf(native, notExecutable), syscall.EACCES, worker.Loader, "not executable"},
		"other architecture":    {elf(other, noLoader), syscall.ENOEXEC, worker.WrongArchitecture, "this machine is linux/"},
		"cut in its header":     {sound[:40], syscall.ENOEXEC, worker.Damaged, "cut short"},
		"cut behind its header": {sound[:64], syscall.ENOEXEC, worker.Damaged, "cut short"},
		"an object file":        {patch(sound, 16, 1), syscall.ENOEXEC, worker.Damaged, "no program"},
		"no program headers":    {patch(sound, 56, 0), syscall.ENOEXEC, worker.Damaged, "malformed"},
		"loader's name not ended": {
			[]byte(strings.Replace(string(elf(native, "/ld")), "/ld\x00", "/ldx", 1)), syscall.ENOEXEC, worker.Damaged, "loader",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, "worker", test.content, 0o755)
			explained := requireExplained(t, path, "", start(path, ""))
			require.Equal(t, test.cause, explained.Cause, "%v", explained)
			require.ErrorIs(t, explained, test.errno)
			require.ErrorContains(t, explained, test.says)
			requireCause(t, worker.Check(path), test.cause)
		})
	}
}

// Kernels 6.11 and 6.12 start a file that is being written; all others refuse, and that passes.
func TestExplainOfAFileBeingWritten(t *testing.T) {
	t.Parallel()
	path := write(t, "worker", []byte(shell), 0o755)
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	if err := start(path, ""); err != nil {
		explained := requireExplained(t, path, "", err)
		require.ErrorIs(t, explained, syscall.ETXTBSY)
		require.Equal(t, worker.Busy, explained.Cause)
		require.True(t, worker.Retryable(explained))
	}
	require.NoError(t, writer.Close())
}
