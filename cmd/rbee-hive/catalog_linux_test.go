package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// What runs is not removed, whoever started it, unless that is meant.
func TestRemoveRefusesWhatRuns(t *testing.T) {
	m := newMachine(t)
	m.install(t, "cpu-llm-worker-rbee", "exec sleep 100\n")
	catalogDir, run := filepath.Join(m.dir, "catalog"), filepath.Join(m.dir, "run")
	first, last := porttest.Lease(t, 10)
	workers, err := spawner.New(spawner.Config{HiveID: "test", RunDir: run, LogDir: filepath.Join(m.dir, "logs"), CatalogDir: catalogDir, Ports: spawner.PortRange{First: first, Last: last}})
	require.NoError(t, err)
	job := messages.Job{Operation: messages.WorkerSpawn, JobID: "j", WorkerID: "w1", Model: "m", Device: "cpu"}
	result, err := workers.Spawn(t.Context(), job, func(messages.Event) {}, func() func(context.Context) error { return nil })
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Kill(result.PID, syscall.SIGKILL) })
	require.Eventually(t, func() bool { // the shell has read the script, which is removed below
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", result.PID))
		return err == nil && string(name) == "sleep\n"
	}, time.Minute, time.Millisecond)
	require.NoError(t, workers.Close())

	remove := func(args ...string) (code int, text string) {
		var out, errs strings.Builder
		args = append([]string{"catalog", "rm", "cpu-llm-worker-rbee", "1.0.0", "--catalog-dir", catalogDir, "--run-dir", run}, args...)
		code = runAs(t.Context(), args, &out, &errs)
		return code, out.String() + errs.String()
	}
	code, text := remove()
	require.Equal(t, 1, code)
	require.Contains(t, text, "cpu-llm-worker-rbee 1.0.0 runs or is being started as w1: delete the workers first")

	// The hive of a unit has another user than root, who owns the catalog and may look.
	unit, known := filepath.Join(m.dir, "unit"), unitRunDir
	require.NoError(t, os.Rename(run, unit))
	unitRunDir = unit
	defer func() { unitRunDir = known }()
	if os.Geteuid() == 0 {
		require.NoError(t, filepath.WalkDir(unit, func(path string, _ fs.DirEntry, _ error) error { return os.Lchown(path, 4242, 4242) }))
	}
	var out, errs strings.Builder
	args := []string{"catalog", "rm", "cpu-llm-worker-rbee", "1.0.0", "--catalog-dir", catalogDir}
	require.Equal(t, 1, runAs(t.Context(), args, &out, &errs))
	require.Contains(t, errs.String(), "runs or is being started as w1")
	run = unit
	code, text = remove("--force")
	require.Equal(t, 0, code, text)
	entries, err := os.ReadDir(catalogDir)
	require.NoError(t, err)
	require.Empty(t, entries)
	running, err := spawner.Running(run)
	require.NoError(t, err)
	require.Len(t, running, 1, "the worker goes on")
}

func runAs(ctx context.Context, args []string, out, errs *strings.Builder) int {
	return run(ctx, args, strings.NewReader(""), out, errs)
}
