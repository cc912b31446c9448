//go:build linux

package process_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/spawner/process"
)

// makeGroup makes a control group for one test, or requires that the system says why it has none and returns nil.
func makeGroup(tb testing.TB, name string) *process.Group {
	tb.Helper()
	groups, err := process.OpenGroups()
	var group *process.Group
	if err == nil {
		group, err = groups.Make(fmt.Sprintf("hive-test-%d-%s", os.Getpid(), name))
	}
	if err != nil {
		require.ErrorIs(tb, err, errors.ErrUnsupported)
		tb.Log("no control group here:", err)
		return nil
	}
	tb.Cleanup(func() {
		_ = group.Kill()
		removeGroup(tb, group)
		group.Close()
	})
	return group
}

// removeGroup removes a group as soon as nobody is in it.
func removeGroup(tb testing.TB, group *process.Group) {
	tb.Helper()
	var err error
	require.Eventually(tb, func() bool {
		err = group.Remove()
		return !errors.Is(err, process.ErrHeld)
	}, 10*time.Second, time.Millisecond)
	require.NoError(tb, err)
}

// Only its control group tells that a daemon without lock, parent, session and environment was a worker's.
func TestEndOfAGroup(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	group := makeGroup(t, "end")
	if group == nil {
		return
	}
	tr := &tree{m: m, log: filepath.Join(m.dir, "w1.log"), pidfds: make(map[string]int), pids: make(map[string]int)}
	log, err := os.Create(tr.log)
	require.NoError(t, err)
	defer func() { _ = log.Close() }()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Stdout = log
	cmd.Env = []string{playAs + "=tree bare=anonymous=say=daemon;wait,say=parent,wait say=leader wait", endAtOnce}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: group.FD()}
	require.NoError(t, cmd.Start())
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	for _, name := range []string{"leader", "parent", "daemon"} {
		tr.await(t, name)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)
	tr.Tree = process.Tree{Leader: identityOf(t, tr.pids["leader"], string(boot[:len(boot)-1])), Worker: "w1", Group: group}
	require.NoError(t, unix.PidfdSendSignal(tr.pidfds["parent"], unix.SIGKILL, nil, 0))
	tr.awaitOrphan(t, "daemon", "parent")

	groups, err := process.OpenGroups()
	require.NoError(t, err)
	_, err = groups.Make(filepath.Base(groupPath(t, tr.pids["leader"])))
	require.ErrorIs(t, err, process.ErrHeld)

	ending, err := m.run.End(t.Context(), tr.Tree, process.EndConfig{})
	require.NoError(t, err)
	require.Equal(t, process.Ending{Signal: "SIGTERM", Processes: 2, Took: ending.Took}, ending)
	tr.requireDead(t)
	require.NoError(t, <-waited)
}

func groupPath(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(data), "0::")
	require.True(t, ok)
	path, _, _ := strings.Cut(after, "\n")
	return path
}

func TestGroupIsKilledAndRemoved(t *testing.T) {
	t.Parallel()
	group := makeGroup(t, "kill")
	if group == nil {
		return
	}
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: group.FD()}
	require.NoError(t, cmd.Start())
	below := filepath.Join(group.Path(), "below")
	require.NoError(t, os.Mkdir(below, 0o755))
	require.ErrorIs(t, group.Remove(), process.ErrHeld, "somebody is in it")
	require.DirExists(t, below, "whoever is in it may have made it")
	if err := group.Kill(); err != nil {
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.NoError(t, cmd.Process.Kill())
	}
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	removeGroup(t, group)
	require.NoError(t, group.Remove(), "twice is once")
}

func TestGroupsRefuseNamesThatLeadElsewhere(t *testing.T) {
	t.Parallel()
	groups, err := process.OpenGroups()
	if err != nil {
		require.ErrorIs(t, err, errors.ErrUnsupported)
		return
	}
	for _, name := range []string{"", ".", "..", "a/b", "/", "cgroup.procs", "../x"} {
		_, err := groups.Make(name)
		require.ErrorContains(t, err, "control group", name)
		require.NotErrorIs(t, err, fs.ErrNotExist)
	}
	_, err = groups.Open("hive-test-nobody")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// What it costs to have a process begin in a control group: starts without one, in one that is there, and each in one of
// its own, in turn, since the times of one run drift more than they differ.
func BenchmarkStartInGroup(b *testing.B) {
	shared := makeGroup(b, "bench")
	var times [3][]time.Duration
	for b.Loop() {
		times[0] = append(times[0], startTime(b, nil))
		if shared == nil {
			continue
		}
		times[1] = append(times[1], startTime(b, func() *process.Group { return shared }))
		groups, err := process.OpenGroups()
		require.NoError(b, err)
		var own *process.Group
		times[2] = append(times[2], startTime(b, func() *process.Group {
			own, err = groups.Make(fmt.Sprintf("hive-test-%d-bench-own", os.Getpid()))
			require.NoError(b, err)
			return own
		}))
		removeGroup(b, own)
		own.Close()
	}
	for i, name := range []string{"µs-without-p50", "µs-in-one-p50", "µs-in-its-own-p50"} {
		if slices.Sort(times[i]); len(times[i]) > 0 {
			b.ReportMetric(float64(times[i][len(times[i])/2].Microseconds()), name)
		}
	}
}

// startTime returns how long a start takes, with what makes the group.
func startTime(b *testing.B, group func() *process.Group) time.Duration {
	b.Helper()
	attr := &syscall.SysProcAttr{Setsid: true}
	began := time.Now()
	if group != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, group().FD()
	}
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: attr})
	took := time.Since(began)
	require.NoError(b, err)
	_, err = syscall.Wait4(pid, nil, 0, nil)
	require.NoError(b, err)
	return took
}
