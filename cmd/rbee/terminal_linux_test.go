package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: what a program writes to its end is kept.
type terminal struct {
	program *os.File // the program's end

	mu    sync.Mutex
	shown strings.Builder
}

func newTerminal(t *testing.T, columns, lines uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	fd := int(master.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines}))
	term := &terminal{program: program}
	var reader sync.WaitGroup
	reader.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			term.mu.Lock()
			term.shown.Write(buffer[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		program.Close() // ends the reader: there is nobody left to write
		reader.Wait()
		master.Close()
	})
	return term
}

func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shown.String()
}

// Colours are for terminals that take them, and for who did not refuse them.
func TestColoursOnATerminalAlone(t *testing.T) {
	t.Parallel()
	bare := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "NO_COLOR=") || strings.HasPrefix(entry, "TERM=")
	})
	for name, test := range map[string]struct {
		env     []string
		piped   bool
		painted bool
	}{
		"a terminal":        {env: []string{"TERM=xterm"}, painted: true},
		"NO_COLOR is empty": {env: []string{"TERM=xterm", "NO_COLOR="}, painted: true},
		"NO_COLOR":          {env: []string{"TERM=xterm", "NO_COLOR=1"}},
		"a dumb terminal":   {env: []string{"TERM=dumb"}},
		"a pipe":            {env: []string{"TERM=xterm"}, piped: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term := newTerminal(t, 200, 20)
			var pipe strings.Builder
			rbee := exec.CommandContext(t.Context(), "rbee", "workers", "get", "a.b")
			rbee.Env, rbee.Stderr = slices.Concat(bare, test.env), term.program
			said := term.text
			if test.piped {
				rbee.Stderr, said = &pipe, pipe.String
			}
			require.Error(t, rbee.Run())
			want := "rbee: worker id: "
			if test.painted {
				want = "\x1b[31mrbee:\x1b[0m worker id: "
			}
			require.Eventually(t, func() bool { return strings.HasPrefix(said(), want) }, time.Minute, time.Millisecond, "%q", said())
		})
	}
}

func TestWorkersWatchDrawsInPlaceUntilInterrupted(t *testing.T) {
	t.Parallel()
	_, _, env := startStack(t)
	term := newTerminal(t, 200, 20)
	rbee := exec.CommandContext(t.Context(), "rbee", "workers", "--watch")
	rbee.Env = append(append(os.Environ(), "TERM=xterm"), env...)
	rbee.Stdout, rbee.Stderr = term.program, term.program
	require.NoError(t, rbee.Start())
	shows := func(text string) {
		t.Helper()
		require.Eventually(t, func() bool { return strings.Contains(term.text(), text) }, time.Minute, 10*time.Millisecond, "%q", term.text())
	}
	shows("workers: 0; Ctrl-C ends it")
	spawn := exec.CommandContext(t.Context(), "rbee", "spawn", "--model", "tiny", "--worker-id", "worker-seen", "--wait", "-q")
	spawn.Env = append(os.Environ(), env...)
	out, err := spawn.CombinedOutput()
	require.NoError(t, err, "%s", out)
	shows("worker-seen")
	shows("workers: 1; Ctrl-C ends it")
	require.NoError(t, rbee.Process.Signal(os.Interrupt))
	require.NoError(t, rbee.Wait(), "an interrupt is its proper end")
	shows(showCursor)
	text := term.text()
	require.True(t, strings.HasPrefix(text, hideCursor+home), "%q", text)
	require.True(t, strings.HasSuffix(text, showCursor), "%q", text)
	require.GreaterOrEqual(t, strings.Count(text, home), 2, "%q", text)
}
