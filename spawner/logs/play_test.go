package logs

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
)

// TestMain lets the test binary play a worker that prints.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "print" {
		os.Exit(play(os.Args[2], os.Args[3]))
	}
	leaktest.Main(m)
}

// lineWidth is the length of each line of the worker, with its end: no divisor of any block.
const lineWidth = 61

var filler = strings.Repeat("x", lineWidth-len("w 000000000 \n"))

// numbered returns the line of a writer with a number.
func numbered(writer string, number int) string {
	digits := strconv.Itoa(1e9 + number)[1:]
	return writer + " " + digits + " " + filler
}

// finalLines is how many of its lines a worker prints last of all.
const finalLines = 1000

// play prints numbered lines as fast as it can, and the last of them once its stdin ends. Each write is of whole lines,
// as those of several writers on one file have to be.
func play(writer, count string) int {
	lines, err := strconv.Atoi(count)
	if err != nil {
		return 2
	}
	out := bufio.NewWriterSize(os.Stdout, finalLines*lineWidth)
	for i := range lines {
		if i == lines-finalLines {
			if out.Flush() != nil {
				return 1
			}
			_, _ = io.Copy(io.Discard, os.Stdin)
		}
		if _, err := out.WriteString(numbered(writer, i) + "\n"); err != nil {
			return 1 // what a worker would die of
		}
	}
	if out.Flush() != nil {
		return 1
	}
	return 0
}

// printer is a worker that prints to a log.
type printer struct {
	finish func()     // lets it print the last of its lines
	ended  chan error // gets its end
}

// printing starts a worker that prints so many lines to the log.
func printing(t *testing.T, path, writer string, lines int) printer {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "print", writer, strconv.Itoa(lines))
	cmd.Stdout, cmd.Stderr = file, file
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, file.Close())
	p := printer{finish: func() { _ = stdin.Close() }, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	return p
}

// write makes a log of the text and returns its path.
func write(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "worker.job.log")
	require.NoError(tb, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// extend appends the text to the log.
func extend(tb testing.TB, path, text string) {
	tb.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(tb, err)
	_, err = file.WriteString(text)
	require.NoError(tb, err)
	require.NoError(tb, file.Close())
}

// some returns numbered lines that are together at least so many bytes long.
func some(bytes int) string {
	var b strings.Builder
	for i := 0; b.Len() < bytes; i++ {
		b.WriteString(numbered("w", i) + "\n")
	}
	return b.String()
}

// requireSame checks that the contents of a log are what they should be, without printing either.
func requireSame(t require.TestingT, want, got string) {
	if want != got {
		require.FailNow(t, "the log holds something else", "%d bytes instead of %d", len(got), len(want))
	}
}
