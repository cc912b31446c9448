//go:build unix

package doctor

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOpenFiles(t *testing.T) {
	for name, test := range map[string]struct {
		script  string
		status  Status
		message string
	}{
		"few":       {"echo 1024", Warning, "1024 for a worker unless it raises that itself"},
		"many":      {"echo 65536", OK, "65536 for a worker, "},
		"unlimited": {"echo unlimited", OK, "unlimited for a worker, "},
		"not known": {"echo nonsense", OK, "for a worker not known"},
		"failed":    {"echo no such limit >&2; exit 3", OK, "sh: exit status 3: no such limit"},
	} {
		t.Run(name, func(t *testing.T) {
			fake(t, "sh", test.script)
			check := only(t, openFiles)
			require.Contains(t, check.Message, test.message)
			require.Equal(t, test.status, check.Status)
		})
	}
}

// A program that does not end is killed in the time that there is, and what it has started does not hold up its end.
func TestAProgramThatDoesNotEnd(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	end, err := os.OpenFile(pipe, os.O_RDWR, 0)
	require.NoError(t, err)
	defer end.Close() // ends what it has started, which reads until then
	fake(t, "stuck", "exec 3<"+pipe+"\n(read never <&3) &\nexec sleep 1000\n")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err = output(ctx, "stuck")
	require.EqualError(t, err, "stuck did not end in time")
	require.Less(t, time.Since(begin), 10*time.Second)
}

func TestCgroupPids(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cgroup  string
		files   map[string]string
		status  Status
		message string
	}{
		"version 2, bounded above": {"0::/system.slice/rbee-hive.service\n", map[string]string{
			"cgroup.controllers": "pids", "system.slice/pids.max": "5000", "system.slice/pids.current": "4000",
			"system.slice/rbee-hive.service/pids.max": "max", "system.slice/rbee-hive.service/pids.current": "7",
		}, Warning, "4000 of the 5000 processes and threads of "},
		"version 2, not bounded":  {"0::/a.service\n", map[string]string{"cgroup.controllers": "pids", "a.service/pids.max": "max\n"}, OK, "no control group bounds"},
		"version 2, wide":         {"0::/a.service\n", map[string]string{"cgroup.controllers": "pids", "a.service/pids.max": "90000\n", "a.service/pids.current": "12\n"}, OK, "12 of the 90000"},
		"version 1":               {"9:name=systemd:/\n8:cpu,pids:/a/b\n0::/\n", map[string]string{"pids/a/b/pids.max": "100", "pids/a/b/pids.current": "5"}, Warning, "5 of the 100"},
		"outside of what is seen": {"0::/../../a.service\n", map[string]string{"cgroup.controllers": "pids"}, OK, "no control group bounds"},
		"neither":                 {"0::/a.service\n", nil, OK, "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for path, text := range test.files {
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o600))
			}
			check := only(t, lines(pidsLimit(write(t, "cgroup", test.cgroup), root)))
			require.Equal(t, test.status, check.Status)
			require.Contains(t, check.Message, test.message)
		})
	}
	require.Contains(t, only(t, lines(pidsLimit("/missing", "/missing"))).Message, "not known")
}

func TestSystemdUnit(t *testing.T) {
	const good = "LoadState=loaded\nKillMode=process\nTasksMax=infinity\nOOMPolicy=continue\nLimitNOFILESoft=65536\n"
	group := write(t, "cgroup", "0::/system.slice/hives.service\n")
	for name, test := range map[string]struct {
		script   string
		statuses []Status
		messages []string
	}{
		"as it should be": {"echo '" + good + "'", []Status{OK}, []string{"rbee-hive.service lets workers live on"}},
		"as most are": {
			"echo LoadState=loaded; echo KillMode=control-group; echo TasksMax=4915; echo OOMPolicy=stop; echo LimitNOFILESoft=1024",
			[]Status{Failure, Failure, Warning, Warning},
			[]string{"KillMode=control-group: every stop of the hive kills the workers", "OOMPolicy=stop", "TasksMax=4915", "1024 open files"},
		},
		"older systemd":           {"echo LoadState=loaded; echo KillMode=mixed; echo TasksMax=18446744073709551615", []Status{Failure}, []string{"KillMode=mixed"}},
		"not booted with systemd": {"echo System has not been booted >&2; exit 1", []Status{OK}, []string{"not known: systemctl: exit status 1: System has not been booted"}},
		"no such unit":            {"echo LoadState=not-found", []Status{OK}, []string{"there is no unit rbee-hive.service"}},
		"in another unit": {
			`[ "$2" = hives.service ] && echo LoadState=loaded && echo KillMode=control-group`,
			[]Status{Failure},
			[]string{"hives.service has KillMode=control-group"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("INVOCATION_ID", "1")
			fake(t, "systemctl", test.script+"\n:\n")
			if name == "not booted with systemd" {
				fake(t, "systemctl", test.script)
			}
			found := systemd(t.Context(), group)
			require.Len(t, found, len(test.statuses), "%v", found)
			for i, check := range found {
				require.Equal(t, test.statuses[i], check.Status, "%v", check)
				require.Contains(t, check.Message, test.messages[i])
			}
		})
	}
	t.Run("without systemctl", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		require.Equal(t, "not known: there is no systemctl on this machine", only(t, lines(systemd(t.Context(), group))).Message)
	})
}

func TestOwnUnit(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/hives.service\n":                           "hives.service",
		"9:pids:/system.slice/hives.service\n0::/\n":                 "hives.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":              "",
		"0::/system.slice/run-r1234.service\n":                       "",
		"0::/user.slice/user-1.slice/user@1.service/app/a.service\n": "",
		"0::/user.slice/user-1.slice/user@1.service/init.scope\n":    "",
	} {
		t.Setenv("INVOCATION_ID", "1")
		require.Equal(t, want, ownUnit(write(t, "cgroup", text)), text)
		t.Setenv("INVOCATION_ID", "")
		require.Empty(t, ownUnit(write(t, "cgroup", text)))
	}
}
