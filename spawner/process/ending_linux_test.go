package process

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestParseTask(t *testing.T) {
	t.Parallel()
	const behind = " S 10 11 12 34816 -1 4194304 102 7 0 0 30 4 500 6000 20 0 9 0 116610 2998272 388 18446744073709551615 1 1 0"
	want := taskStat{state: 'S', parent: 10, session: 12, threads: 9, ticks: 116610, cpu: 6534, pages: 388}
	for name, comm := range map[string]string{"plain": "cat", "spaces": "a b c", "parentheses": "x) R 1 (1 1 1", "empty": "", "line": "a\nb"} {
		got, err := parseTask([]byte("77 (" + comm + ")" + behind + "\n"))
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
		require.Equal(t, comm, taskName([]byte("77 ("+comm+")"+behind)), name)
	}
	for _, line := range []string{"", "77", "77 (cat", "77 (cat) S 10 11", ")", "77 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"} {
		_, err := parseTask([]byte(line))
		require.ErrorIs(t, err, errStat, line)
	}
	own, err := readTask(os.Getpid(), make([]byte, 1024))
	require.NoError(t, err)
	require.Equal(t, int32(os.Getppid()), own.parent)
	require.False(t, own.ended())
	kernel, err := parseTask([]byte("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 15 0 0 18446744073709551615"))
	require.NoError(t, err)
	require.True(t, kernel.kernel)
}

func FuzzParseTask(f *testing.F) {
	f.Add([]byte("77 (cat) S 10 11 12 34816 -1 4194304 102 7 0 0 30 4 500 6000 20 0 9 0 116610 2998272 388 1\n"))
	f.Add([]byte("77 ()) S"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if got, err := parseTask(line); err != nil {
			require.Zero(t, got)
		}
		_ = taskName(line)
	})
}

func TestParseKernelRecord(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		record string
		pid    int
		ok     bool
	}{
		"machine":       {"3,1205,5140900,-;Out of memory: Killed process 4242 (python3) total-vm:1kB, anon-rss:1kB, UID:0\n SUBSYSTEM=x\n", 4242, true},
		"group":         {"3,1205,5140900,-;Memory cgroup out of memory: Killed process 7 (a b) total-vm:1kB\n", 7, true},
		"asked for":     {"3,1205,5140900,-;Out of memory (oom_kill_allocating_task): Killed process 8 (x) total-vm:1kB\n", 8, true},
		"not as kernel": {"11,1205,5140900,-;Out of memory: Killed process 4242 (python3) total-vm:1kB\n", 0, false},
		"another text":  {"3,1205,5140900,-;usb 1: Out of memory: Killed process 4242 (python3)\n", 0, false},
		"second line":   {"3,1205,5140900,-;x\nOut of memory: Killed process 4242 (python3)\n", 0, false},
		"no number":     {"3,1205,5140900,-;Out of memory: Killed process x (python3)\n", 0, false},
	} {
		at, pid, ok := parseKernelRecord([]byte(test.record))
		require.Equal(t, test.ok, ok, name)
		require.Equal(t, test.pid, pid, name)
		require.Equal(t, 5140900*time.Microsecond, at, name)
	}
	for _, record := range []string{"", ";", "3,1;x", "a,b,c;x", "3,1,2"} {
		_, _, ok := parseKernelRecord([]byte(record))
		require.False(t, ok, record)
	}
}

// A process that no signal ends cannot be made without hurting the machine, so this looks at one that was sent none.
func TestStuckTellsWhoLivesOn(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "60")
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	buf := make([]byte, 1024)
	stat, err := readTask(cmd.Process.Pid, buf)
	require.NoError(t, err)
	m, err := meet(cmd.Process.Pid, stat.ticks, buf)
	require.NoError(t, err)
	defer m.close()
	other, err := meet(cmd.Process.Pid, stat.ticks+1, buf)
	require.NoError(t, err)
	require.Nil(t, other, "another start is another process")

	e := &end{hunt: &hunt{members: []*member{m}, buf: buf}}
	m.err = unix.EPERM
	var stuck *StuckError
	require.ErrorAs(t, e.stuck(), &stuck)
	require.ErrorIs(t, stuck, unix.EPERM)
	require.Equal(t, cmd.Process.Pid, stuck.PID)
	require.Equal(t, "sleep", stuck.Name)
	require.Len(t, stuck.State, 1)
	require.ErrorContains(t, stuck, "cannot be killed: operation not permitted")
	require.ErrorContains(t, &StuckError{PID: 7, Name: "x", State: "D", More: 2}, "/proc/7/stack")
}
