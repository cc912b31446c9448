//go:build linux

package spawner_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/process"
)

var grouped atomic.Int32

// newGroupedHive returns a hive that starts workers in control groups, an id for a worker that no other test of this machine uses,
// and the groups; nil if this system has none, which the hive must have logged.
func newGroupedHive(t *testing.T) (h *hive, worker string, groups *process.Groups) {
	t.Helper()
	var log bytes.Buffer
	worker = fmt.Sprintf("w-%d-%d", os.Getpid(), grouped.Add(1))
	t.Cleanup(func() { // behind the end of the workers
		for _, name := range namesOf(groups, worker) {
			group, err := groups.Open(name)
			require.NoError(t, err)
			require.Eventually(t, func() bool { return group.Remove() == nil }, 10*time.Second, time.Millisecond)
			group.Close()
		}
	})
	h = newHive(t, func(c *spawner.Config) {
		c.Groups, c.Logger = true, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	groups, err := process.OpenGroups()
	if err != nil {
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.Contains(t, log.String(), "workers get no control groups of their own")
		groups = nil
	}
	return h, worker, groups
}

// namesOf returns the names of the groups of a worker.
func namesOf(groups *process.Groups, worker string) []string {
	if groups == nil {
		return nil
	}
	return slices.DeleteFunc(groups.Names(), func(name string) bool { return !strings.Contains(name, "."+worker+".") })
}

// escaped returns the process that a worker says to have let go.
func (h *hive) escaped(logPath string) int {
	h.t.Helper()
	found := regexp.MustCompile(`child (\d+) escaped`).FindStringSubmatch(awaitLog(h.t, logPath, "escaped"))
	require.NotNil(h.t, found)
	pid, err := strconv.Atoi(found[1])
	require.NoError(h.t, err)
	h.started(pid)
	return pid
}

// groupOf returns the last name of the control group of a process.
func groupOf(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	require.NoError(t, err)
	_, path, _ := strings.Cut(string(data), "0::")
	return filepath.Base(strings.TrimSpace(path))
}

func (h *hive) requireNoGroup(groups *process.Groups, worker string) {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return len(namesOf(groups, worker)) == 0 }, time.Minute, time.Millisecond)
}

// Whatever a process of a worker does to its parents, its session, its lock and its environment, a delete takes it along, also
// that of the next hive.
func TestDeleteEndsWhoLeftEverythingButTheGroup(t *testing.T) {
	t.Parallel()
	h, worker, groups := newGroupedHive(t)
	result := h.run(worker, "escape:stays", "alone")
	escaped := h.escaped(result.LogPath)
	if groups == nil {
		return // it runs without, and its descendant is killed by the test
	}
	require.Regexp(t, `^rbee\.gpu-1\.[0-9a-f]{8}\.`+worker+`\.job-`+worker+"$", groupOf(t, escaped))
	h.reopen()
	d := h.del(t.Context(), deleteJob("d", worker), nil)
	require.Nil(t, d.err)
	require.Equal(t, 2, d.answer.Processes)
	require.True(t, dead(escaped))
	h.requireNoGroup(groups, worker)
}

// What a worker left behind is not forgotten: it is told, it keeps the worker's id from being used again, and can be deleted.
func TestWhatAGroupedWorkerLeftBehindIsDeleted(t *testing.T) {
	t.Parallel()
	h, worker, groups := newGroupedHive(t)
	h.spawn(called(worker, "first", "escape:leaves")) // it may be answered before it leaves
	escaped := h.escaped(filepath.Join(h.cfg.LogDir, worker+".first.log"))
	if groups == nil {
		return
	}
	leader := h.get(worker).PID
	require.Eventually(t, func() bool { return dead(leader) }, time.Minute, time.Millisecond)
	require.Equal(t, 1, h.get(worker).Processes)
	again := h.spawn(called(worker, "second", "live"))
	require.ErrorIs(t, again.err, messages.WorkerConflict)
	require.Contains(t, again.err.Message, strconv.Itoa(escaped))
	require.Contains(t, again.err.Message, "delete the worker, or use another worker_id")

	d := h.del(t.Context(), deleteJob("d", worker), nil)
	require.Nil(t, d.err)
	require.Equal(t, 1, d.answer.Processes)
	require.True(t, dead(escaped))
	require.Nil(t, h.spawn(called(worker, "third", "live")).err)
}

// A descendant that is never there when it is looked for is ended with its group all the same.
func TestDeleteEndsAComet(t *testing.T) {
	t.Parallel()
	h, worker, groups := newGroupedHive(t)
	h.run(worker, "comet", "flies")
	if groups == nil {
		return // it burns out
	}
	group, err := groups.Open(namesOf(groups, worker)[0])
	require.NoError(t, err)
	defer group.Close()
	defer func() { _ = group.Kill() }()
	job := deleteJob("d", worker)
	job.GraceMS = 100
	d := h.del(t.Context(), job, nil)
	require.Nil(t, d.err)
	require.False(t, group.Populated())
	h.requireNoGroup(groups, worker)
}

// The end of one start takes nothing from the next one of the same worker.
func TestEachStartHasAGroupOfItsOwn(t *testing.T) {
	t.Parallel()
	h, worker, groups := newGroupedHive(t)
	for i := range 40 {
		got := h.spawn(called(worker, fmt.Sprintf("job-%d", i), "live"))
		require.Nil(t, got.err)
		if groups != nil {
			require.Regexp(t, fmt.Sprintf(`\.%s\.job-%d$`, worker, i), groupOf(t, got.result.PID))
		}
		require.NoError(t, syscall.Kill(got.result.PID, syscall.SIGKILL))
		require.Eventually(t, func() bool { return dead(got.result.PID) }, time.Minute, 10*time.Microsecond)
	}
}

// A group goes with its worker, and if no hive was there to see that, with the next one.
func TestGroupsGoWithTheirWorkers(t *testing.T) {
	t.Parallel()
	h, worker, groups := newGroupedHive(t)
	result := h.run(worker, "live", "playing")
	if groups == nil {
		return
	}
	name := groupOf(t, result.PID)
	require.Regexp(t, `^rbee\.gpu-1\.[0-9a-f]{8}\.`+worker+`\.job-`+worker+"$", name)
	require.NoError(t, syscall.Kill(result.PID, syscall.SIGKILL))
	h.requireNoGroup(groups, worker)

	group, err := groups.Make(name)
	require.NoError(t, err)
	group.Close()
	h.reopen()
	h.requireNoGroup(groups, worker)
}

func dead(pid int) bool { return syscall.Kill(pid, 0) != nil || zombie(pid) }
