package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/internal/proctest"
	"github.com/rbee-keeper/hive/spawner/process"
)

// TestMain lets this binary play rbee-hive in the scripts and in the tests that start it by name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rbee-hive": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"RBEE_RUN_DIR", "RBEE_LOG_DIR", "RBEE_CATALOG_DIR"} {
				env.Setenv(name, filepath.Join(env.WorkDir, name))
			}
			env.Setenv("GORACE", "atexit_sleep_ms=0") // Else the race detector lets each command wait for a second.
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "shape": shape},
	})
}

// exits runs a program and checks its exit code: exits CODE PROGRAM ARGS...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// The parts of a doctor's report that depend on the machine.
var (
	statuses = regexp.MustCompile(`"status":"(ok|warning|failure)"`)
	texts    = regexp.MustCompile(`"(message|advice)":"([^"\\]|\\.)*"`)
	counts   = regexp.MustCompile(`"(ok|warnings|failures)":\d+`)
)

// shape replaces in stdout what depends on the machine, puts each check on a line of its own and leaves out what comes more
// than once in a row, and writes that to a file: shape FILE
func shape(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile("stdout")
	text = statuses.ReplaceAllString(text, `"status":"…"`)
	text = texts.ReplaceAllString(text, `"$1":"…"`)
	text = counts.ReplaceAllString(text, `"$1":0`)
	lines := strings.Split(strings.ReplaceAll(text, "},{", "},\n{"), "\n")
	text = strings.Join(slices.Compact(lines), "\n")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// machine is the directories and ports of one hive's machine.
type machine struct {
	dir string
	env []string
}

// newMachine returns a machine without workers in its catalog. Whatever was started on it is killed when the test ends.
func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	first, last := porttest.Lease(t, 40)
	m := &machine{dir: dir, env: []string{
		"RBEE_HIVE_ID=test", "RBEE_RUN_DIR=" + filepath.Join(dir, "run"), "RBEE_LOG_DIR=" + filepath.Join(dir, "logs"),
		"RBEE_CATALOG_DIR=" + filepath.Join(dir, "catalog"), "RBEE_WORK_DIR=" + dir, fmt.Sprintf("RBEE_PORT_RANGE=%d-%d", first, last),
		"RBEE_LOG_FORMAT=text", "NOTIFY_SOCKET=",
	}}
	t.Cleanup(func() { killWorkers(t, filepath.Join(dir, "run")) })
	return m
}

// install puts a shell script into the catalog.
func (m *machine) install(t *testing.T, name, script string) {
	t.Helper()
	entry := filepath.Join(m.dir, "catalog", name+"-v1.0.0-"+runtime.GOOS)
	require.NoError(t, os.MkdirAll(entry, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(entry, name), []byte("#!/bin/sh\n"+script), 0o755))
}

// serve starts the hive of this machine.
func (m *machine) serve(t *testing.T, env ...string) *proctest.Proc {
	t.Helper()
	return proctest.Start(t, append(m.env, env...), "rbee-hive", "serve")
}

// killWorkers kills every worker that a hive with this run directory started, and returns when they have gone.
func killWorkers(t *testing.T, dir string) {
	t.Helper()
	run, err := process.OpenRunDir(dir)
	require.NoError(t, err)
	workers, err := run.Workers()
	require.NoError(t, err)
	for _, id := range workers {
		var record struct {
			Process process.Started `json:"process"`
		}
		if run.ReadRecord(id, &record) != nil && run.ReadStarting(id, &record) != nil {
			continue // it was never started
		}
		_, err := run.End(context.Background(), process.Tree{Leader: record.Process.Identity, Worker: id}, process.EndConfig{Signal: syscall.SIGKILL})
		if !errors.Is(err, process.ErrGone) {
			require.NoError(t, err)
		}
	}
}
