package main

import (
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/fakeserver"
)

// The adapter ends as its backend does, and says why in its last line.
func TestAdapterEndsWithItsBackend(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		play   []string                   // flags of the backend
		then   func(*testing.T, *adapted) // once it serves; nil: it never does
		code   int
		signal syscall.Signal
		says   string
	}{
		"at its start": {[]string{"--play-exit", "3"}, nil, 3, 0, "exited with code 3 after .*, before it served; what it printed stands above"},
		"wrong flags":  {[]string{"--gpu-layers", "all"}, nil, 1, 0, "exited with code 1"},
		"later":        {nil, func(t *testing.T, a *adapted) { a.play(t, "exit/7") }, 7, 0, "exited with code 7 after"},
		"with success": {nil, func(t *testing.T, a *adapted) { a.play(t, "exit/0") }, 0, 0, "exited with code 0 after"},
		"killed":       {nil, func(t *testing.T, a *adapted) { a.kill(t, syscall.SIGKILL) }, -1, syscall.SIGKILL, `was ended by signal 9 \(killed\)`},
		"orphaned": {[]string{"--play-engine"}, func(t *testing.T, a *adapted) {
			require.True(t, living(a.told(t).Engine))
			a.play(t, "exit/5")
		}, 5, 0, "exited with code 5 after"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAdapter(t, nil, nil, test.play)
			if test.then != nil {
				a.health(t, http.StatusOK)
				test.then(t, a)
			}
			status := a.exit(t)
			require.Equal(t, test.code, status.ExitStatus(), a.logged())
			if test.signal != 0 {
				require.Equal(t, test.signal, status.Signal())
			}
			require.Regexp(t, "llm-worker: the backend .* "+test.says+"[^\n]*\n$", a.logged())
			for _, pid := range a.all {
				require.False(t, living(pid), "nothing is left when the adapter has ended")
			}
		})
	}
}

// kill signals the backend.
func (a *adapted) kill(t *testing.T, sig syscall.Signal) {
	t.Helper()
	b, _ := a.backend(t)
	require.NoError(t, syscall.Kill(b.PID, sig))
}

// A signal that Go takes for an error of its own ends the adapter all the same.
func TestAdapterDiesOfItsBackendsSignal(t *testing.T) {
	t.Parallel()
	for _, sig := range []string{"SEGV", "ABRT", "TERM", "BUS"} {
		t.Run(sig, func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, nil, "--backend", "--", "/bin/sh", "-c", "ulimit -c 0; echo out of tensors; kill -"+sig+" $$")
			<-p.ended
			status := p.command.ProcessState.Sys().(syscall.WaitStatus)
			require.True(t, status.Signaled(), p.logged())
			require.Contains(t, p.logged(), "llm-worker: the backend sh was ended by signal ")
			require.NotContains(t, p.logged(), "goroutine")
			want := map[string]syscall.Signal{"SEGV": syscall.SIGSEGV, "ABRT": syscall.SIGABRT, "TERM": syscall.SIGTERM, "BUS": syscall.SIGBUS}
			require.Equal(t, want[sig], status.Signal())
			require.False(t, status.CoreDump())
		})
	}
}

// Whoever of the three is killed, nothing of the tree is left: neither a backend that does not hear SIGTERM nor its engine,
// which is in a session of its own.
func TestAdapterTakesTheWholeTreeAlong(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		kill func(a *adapted, guard int) error
		code int
		says string
	}{
		"told to end":     {func(a *adapted, _ int) error { return a.command.Process.Signal(syscall.SIGTERM) }, exitOK, "backend killed, it did not end in time"},
		"guard is told":   {func(_ *adapted, guard int) error { return syscall.Kill(guard, syscall.SIGTERM) }, -1, "was ended by signal 9"},
		"guard is killed": {func(_ *adapted, guard int) error { return syscall.Kill(guard, syscall.SIGKILL) }, exitFailure, "its guard was killed"},
		"killed":          {func(a *adapted, _ int) error { return a.command.Process.Kill() }, -1, ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAdapter(t, nil, nil, []string{"--play-deaf", "--play-engine"})
			a.health(t, http.StatusOK)
			b, guard := a.backend(t)
			engine := a.told(t).Engine
			require.True(t, living(b.PID) && living(guard) && living(engine))
			require.NoError(t, test.kill(a, guard))
			require.Equal(t, test.code, a.exit(t).ExitStatus(), a.logged())
			require.Contains(t, a.logged(), test.says)
			if name != "killed" { // then the guard is what is left to do it, and the test's end waits for that
				require.False(t, living(b.PID) || living(guard) || living(engine))
			}
		})
	}
}

func TestAdapterIsToldToEndBeforeItServes(t *testing.T) {
	t.Parallel()
	a := startAdapter(t, nil, nil, []string{"--play-hold", "/nowhere/ever"})
	require.NoError(t, a.command.Process.Signal(syscall.SIGTERM))
	require.Equal(t, exitOK, a.exit(t).ExitStatus(), a.logged())
}

func TestAdapterPortInUse(t *testing.T) {
	t.Parallel()
	first := startAdapter(t, nil, nil, nil)
	p := startProcess(t, nil, "--port", first.url[len("http://127.0.0.1:"):], "--backend", "--", os.Args[0], fakeserver.Play)
	<-p.ended
	require.Equal(t, exitFailure, p.command.ProcessState.ExitCode())
	require.Contains(t, p.logged(), "is in use")
	require.NotContains(t, p.logged(), "fakeserver", "nothing was started")
}
