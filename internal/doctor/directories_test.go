//go:build unix

package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/process"
)

func TestRunDir(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make            func(t *testing.T, path string)
		status          Status
		message, advice string
	}{
		"missing":       {func(*testing.T, string) {}, OK, "does not exist yet; serve makes it, in ", ""},
		"below nothing": {func(t *testing.T, path string) { require.NoError(t, os.Remove(filepath.Dir(path))) }, OK, "serve makes it, in ", ""},
		"below a file": {func(t *testing.T, path string) {
			require.NoError(t, os.Remove(filepath.Dir(path)))
			require.NoError(t, os.WriteFile(filepath.Dir(path), nil, 0o600))
		}, Failure, "not a directory", "--run-dir (RBEE_RUN_DIR)"},
		"private":      {mkdir(0o700), OK, fmt.Sprintf("(user %d, mode 0700)", os.Geteuid()), ""},
		"for everyone": {mkdir(0o777), Failure, "has mode 0777: others can write to it", "run chmod 0700 on it"},
		"for a group":  {mkdir(0o770), Failure, "has mode 0770: others can write to it", "run chmod 0700 on it"},
		"a symbolic link": {func(t *testing.T, path string) {
			mkdir(0o700)(t, path+".real")
			require.NoError(t, os.Symlink(path+".real", path))
		}, Failure, "is not a directory", "remove it or name another with --run-dir"},
		"a file": {func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, nil, 0o600)) }, Failure, "is not a directory", "remove it"},
		"open inside": {func(t *testing.T, path string) {
			mkdir(0o700)(t, path)
			mkdir(0o777)(t, path+"/workers")
		}, Failure, "/workers has mode 0777", "run chmod 0700 on it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := newConfig(t)
			above := t.TempDir()
			cfg.RunDir = filepath.Join(above, "above", "run")
			mkdir(0o700)(t, filepath.Dir(cfg.RunDir))
			test.make(t, cfg.RunDir)
			before := snapshot(t, above)
			report := Examine(t.Context(), cfg)
			requireSound(t, report)
			check := report.one(t, "directories", "run_dir")
			require.Equal(t, test.status, check.Status, "%v", check)
			require.Contains(t, check.Message, test.message)
			require.Contains(t, check.Advice, test.advice)
			require.Equal(t, before, snapshot(t, above), "nothing is changed")
		})
	}
}

// mkdir returns a function that makes a directory with a mode.
func mkdir(mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		require.NoError(t, os.Mkdir(path, 0o700))
		require.NoError(t, os.Chmod(path, mode))
	}
}

// snapshot returns all that is below a directory, with modes and times.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		_, err = fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		return err
	}))
	return b.String()
}

func TestRunDirOfAnotherHive(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	run, err := process.OpenRunDir(cfg.RunDir)
	require.NoError(t, err)
	require.NoError(t, run.Belong("gpu-2"))
	check := Examine(t.Context(), cfg).one(t, "directories", "workers")
	require.Equal(t, Failure, check.Status)
	require.Contains(t, check.Message, `belongs to hive "gpu-2"`)
	cfg.HiveID = "gpu-2"
	require.Equal(t, "0 are known, 0 of them living", Examine(t.Context(), cfg).one(t, "directories", "workers").Message)
}

func TestWorkersAreCounted(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	run, err := process.OpenRunDir(cfg.RunDir)
	require.NoError(t, err)
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	watcher := process.NewWatcher()
	t.Cleanup(watcher.Close)
	for i, seconds := range []string{"1000", "0"} {
		claim, err := run.Claim(fmt.Sprintf("worker-%d", i))
		require.NoError(t, err)
		port, err := run.Ports(cfg.Ports).Take(0)
		require.NoError(t, err)
		require.NoError(t, claim.Prepare([]byte(`{"n":1}`)))
		p, err := process.Start(process.Command{Path: sleep, Args: []string{seconds}, Dir: "/", LogPath: filepath.Join(t.TempDir(), "log")}, claim, port)
		require.NoError(t, err)
		require.NoError(t, claim.Commit(p.Started))
		require.NoError(t, run.Publish(fmt.Sprintf("worker-%d", i)))
		claim.Release()
		port.Release()
		watcher.Watch(p, func(process.Exit) {})
		if seconds == "0" {
			<-p.Done()
			continue
		}
		t.Cleanup(func() {
			handle, err := os.FindProcess(p.PID)
			require.NoError(t, err)
			require.NoError(t, handle.Kill())
			<-p.Done()
		})
	}
	require.NoError(t, os.Mkdir(filepath.Join(cfg.RunDir, "workers", "garbage"), 0o700))
	check := Examine(t.Context(), cfg).one(t, "directories", "workers")
	require.Equal(t, OK, check.Status)
	require.Equal(t, "3 are known, 1 of them living", check.Message)
}

func TestLogDir(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	logDir := func() Check { return Examine(t.Context(), cfg).one(t, "directories", "log_dir") }
	require.Equal(t, OK, logDir().Status)
	require.Contains(t, logDir().Message, "does not exist yet; serve makes it, in "+filepath.Dir(cfg.LogDir))
	mkdir(0o750)(t, cfg.LogDir)
	require.Contains(t, logDir().Message, "mode 0750")
	require.NoError(t, os.Chmod(cfg.LogDir, 0o777))
	require.Equal(t, Failure, logDir().Status)
	require.Equal(t, "run chmod go-w on it", logDir().Advice)
	cfg.LogDir = write(t, "file", "")
	require.Equal(t, Failure, logDir().Status)
	cfg.LogDir += "/below"
	require.Equal(t, Failure, logDir().Status)
	require.Contains(t, logDir().Advice, "--log-dir")
}

func TestWorkDir(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	workDir := func() Check { return Examine(t.Context(), cfg).one(t, "directories", "work_dir") }
	require.Equal(t, OK, workDir().Status)
	cfg.WorkDir = filepath.Join(cfg.WorkDir, "missing")
	require.Equal(t, Failure, workDir().Status)
	require.Contains(t, workDir().Message, "no worker can start")
	cfg.WorkDir = write(t, "file", "")
	require.Equal(t, Failure, workDir().Status)
	cfg.WorkDir = ""
	require.Equal(t, OK, workDir().Status)
}

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 3 << 29: "1.5 GiB", 1 << 63: "8388608.0 TiB"} {
		require.Equal(t, want, size(n))
	}
}
