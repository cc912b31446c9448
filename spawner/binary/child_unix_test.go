//go:build unix

package binary_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	worker "github.com/rbee-keeper/hive/spawner/binary"
)

const (
	requestVariable = "BINARY_TEST_TRIAL"
	nobody          = 65534
)

// This program plays the user without privileges of try.
func TestMain(m *testing.M) {
	if request := os.Getenv(requestVariable); request != "" {
		os.Exit(serveTrial(request))
	}
	os.Exit(m.Run())
}

// trial is what a child without privileges is asked to try, and outcome is what it saw.
type trial struct {
	Path, Dir     string
	NoDescriptors bool
}

type verdict struct {
	Cause worker.Cause
	Text  string
}

type outcome struct {
	Started, Retryable bool
	Errno              syscall.Errno
	Check, Explain     verdict
}

func verdictOf(err error) verdict {
	e, ok := errors.AsType[*worker.Error](err)
	if !ok {
		return verdict{}
	}
	return verdict{e.Cause, e.Error()}
}

// run is the child's side of try.
func (request trial) run() (result outcome) {
	if request.NoDescriptors {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: 3}); err != nil {
			panic(err)
		}
	}
	err := start(request.Path, request.Dir)
	result.Started, result.Retryable, result.Errno = err == nil, worker.Retryable(err), errnoOf(err)
	result.Check = verdictOf(worker.Check(request.Path))
	result.Explain = verdictOf(worker.Explain(request.Path, request.Dir, err))
	return result
}

// serveTrial makes this program the child of try.
func serveTrial(request string) int {
	var t trial
	if err := json.Unmarshal([]byte(request), &t); err != nil {
		return 2
	}
	if err := json.NewEncoder(os.Stdout).Encode(t.run()); err != nil {
		return 2
	}
	return 0
}

// try runs a trial in a child that is not root.
func try(t *testing.T, request trial) (result outcome) {
	t.Helper()
	encoded, err := json.Marshal(request)
	require.NoError(t, err)
	program := self(t)
	if runtime.GOOS == "linux" {
		program = "/proc/self/exe" // Reached although its directory is closed to others.
	}
	child := exec.CommandContext(t.Context(), program)
	child.Dir = "/"
	child.Env = append(os.Environ(), requestVariable+"="+string(encoded),
		"GORACE=atexit_sleep_ms=0") // Else the race detector lets each child wait for a second.
	if os.Geteuid() == 0 {
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	output, err := child.Output()
	require.NoError(t, err, "%s", output)
	require.NoError(t, json.Unmarshal(output, &result))
	return result
}

// publicDir returns an empty directory that every user can reach.
func publicDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

// own gives path to the user of try, with a mode, until the test ends.
func own(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(path, nobody, nobody))
	}
	require.NoError(t, os.Chmod(path, mode))
	t.Cleanup(func() { require.NoError(t, os.Chmod(path, 0o700)) })
}

// truth returns the system's program that ends at once.
func truth(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("true")
	require.NoError(t, err)
	return path
}

// copyTo copies a program to path, whose directory it makes.
func copyTo(t *testing.T, path, program string) {
	t.Helper()
	content, err := os.ReadFile(program)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	writeTo(t, path, content, 0o755)
}

func errnoOf(err error) syscall.Errno {
	errno, _ := errors.AsType[syscall.Errno](err)
	return errno
}
