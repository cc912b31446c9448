//go:build chaos

package fault_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/fault"
)

func TestTheProcessDiesAtThePassingThatIsArmed(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"test.step": "step\n", "test.step:2": "step\nstep\n", "test.last": "step\nstep\nstep\n",
		"": "step\nstep\nstep\nend\n", "test.step:4": "step\nstep\nstep\nend\n", "another": "step\nstep\nstep\nend\n",
	}
	for armed, want := range tests {
		t.Run(armed, func(t *testing.T) {
			t.Parallel()
			cmd := player(fault.Variable + "=" + armed)
			out, err := cmd.Output()
			require.Equal(t, want, string(out))
			if strings.HasSuffix(want, "end\n") {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
			require.True(t, ok)
			require.Equal(t, syscall.SIGKILL, status.Signal())
		})
	}
}

func TestTheProcessStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	cmd := player(fault.Variable + "=test.step:2:stop")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	pid := cmd.Process.Pid
	var info unix.Siginfo
	require.NoError(t, unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED, nil))
	lines := bufio.NewScanner(out)
	for range 2 {
		require.True(t, lines.Scan())
	}
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	rest := ""
	for lines.Scan() {
		rest += lines.Text() + " "
	}
	require.Equal(t, "step end ", rest)
	require.NoError(t, cmd.Wait())
}

func TestPassingsAreTraced(t *testing.T) {
	t.Parallel()
	trace := filepath.Join(t.TempDir(), "trace")
	require.NoError(t, player(fault.TraceVariable+"="+trace).Run())
	data, err := os.ReadFile(trace)
	require.NoError(t, err)
	var points []string
	for line := range strings.Lines(string(data)) {
		point, at, ok := strings.Cut(strings.TrimSpace(line), " ")
		require.True(t, ok)
		require.NotEmpty(t, at)
		points = append(points, point)
	}
	require.Equal(t, []string{"test.step", "test.step", "test.step", "test.last"}, points)
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	out, err := player(fault.Variable + "=test.step:often").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "no count of passings")
}
