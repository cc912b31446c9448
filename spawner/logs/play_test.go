package logs

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain lets the test binary play a worker that prints.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "print" {
		os.Exit(play(os.Args[2], os.Args[3]))
	}
	goleak.VerifyTestMain(m)
}

// lineWidth is the length of each line of the worker, with its end: no divisor of any block.
const lineWidth = 61

// numbered returns the line of a writer with a number.
func numbered(writer string, number int) string {
	return fmt.Sprintf("%s %09d %s", writer, number, strings.Repeat("·", (lineWidth-13)/2)+" ")[:lineWidth-1]
}

// play prints numbered lines as fast as it can. Each write is of whole lines, as those of several writers on one file have to be.
func play(writer, count string) int {
	lines, err := strconv.Atoi(count)
	if err != nil {
		return 2
	}
	out := bufio.NewWriterSize(os.Stdout, 1000*lineWidth)
	for i := range lines {
		if _, err := out.WriteString(numbered(writer, i) + "\n"); err != nil {
			return 1 // what a worker would die of
		}
	}
	if out.Flush() != nil {
		return 1
	}
	return 0
}

// printing starts a worker that prints to the log, and returns where its end is told.
func printing(t *testing.T, path, writer string, lines int) <-chan error {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "print", writer, strconv.Itoa(lines))
	cmd.Stdout, cmd.Stderr = file, file
	require.NoError(t, cmd.Start())
	require.NoError(t, file.Close())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	return ended
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
