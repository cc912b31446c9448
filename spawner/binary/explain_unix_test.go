//go:build unix

package binary_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	worker "github.com/rbee-keeper/hive/spawner/binary"
)

const shell = "#!/bin/sh\nexit 0\n"

// Each start is a real one, and its error is what the kernel said.
func TestExplainOfScripts(t *testing.T) {
	t.Parallel()
	noShebang := write(t, "interpreter", []byte("text"), 0o755)
	notExecutable := write(t, "interpreter", []byte(shell), 0o644)
	broken := write(t, "interpreter", []byte("#!/no/such/interpreter\n"), 0o755)
	tests := map[string]struct {
		content string
		cause   worker.Cause
		says    string
	}{
		"no interpreter of that name":    {"#!/no/such/interpreter -x\n", worker.Interpreter, "/no/such/interpreter"},
		"spaces before the interpreter":  {"#! \t/no/such/interpreter\n", worker.Interpreter, "/no/such/interpreter"},
		"relative interpreter":           {"#!no-such-interpreter\n", worker.Interpreter, "no-such-interpreter"},
		"Windows line ends":              {"#!/bin/sh\r\nexit 0\r\n", worker.Interpreter, `"/bin/sh\r"`},
		"interpreter not executable":     {"#!" + notExecutable + "\n", worker.Interpreter, notExecutable},
		"interpreter is a directory":     {"#!/tmp\n", worker.Interpreter, "/tmp"},
		"interpreter without its own":    {"#!" + broken + "\n", worker.Interpreter, "/no/such/interpreter"},
		"interpreter below a file":       {"#!" + broken + "/x\n", worker.Interpreter, "not a directory"},
		"interpreter of no known format": {"#!" + noShebang + "\n", worker.Interpreter, "neither a program nor"},
		"no shebang":                     {"exit 0\n", worker.UnknownFormat, "#!/bin/sh"},
		"a shebang without interpreter":  {"#! \n", worker.UnknownFormat, "names no interpreter"},
		"a shebang of many bytes":        {"#!/" + strings.Repeat("x", 600) + "\n", worker.UnknownFormat, "shorten"},
		"empty":                          {"", worker.Empty, "empty"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, "worker", []byte(test.content), 0o755)
			explained := requireExplained(t, path, "", start(path, ""))
			require.Equal(t, test.cause, explained.Cause, "%v", explained)
			require.ErrorContains(t, explained, test.says)
		})
	}
}

func TestExplainOfPaths(t *testing.T) {
	t.Parallel()
	sound, notExecutable := write(t, "worker", []byte(shell), 0o755), write(t, "worker", []byte(shell), 0o644)
	dir := t.TempDir()
	circle, dangling := filepath.Join(dir, "circle"), filepath.Join(dir, "dangling")
	require.NoError(t, os.Symlink(circle, circle))
	require.NoError(t, os.Symlink("/no/such/target", dangling))
	tests := map[string]struct {
		path, dir string
		errno     syscall.Errno
		cause     worker.Cause
		says      string
	}{
		"missing":                       {filepath.Join(dir, "none"), "", syscall.ENOENT, worker.Missing, "does not exist"},
		"dangling link":                 {dangling, "", syscall.ENOENT, worker.Missing, "/no/such/target"},
		"below a file":                  {filepath.Join(sound, "x"), "", syscall.ENOTDIR, worker.Missing, sound + " is not"},
		"circle of links":               {circle, "", syscall.ELOOP, worker.Loop, "circle"},
		"directory":                     {dir, "", syscall.EACCES, worker.Directory, "is a directory"},
		"not executable":                {notExecutable, "", syscall.EACCES, worker.NotExecutable, "chmod 0755"},
		"working directory missing":     {sound, filepath.Join(dir, "none"), syscall.ENOENT, worker.WorkingDirectory, "create it"},
		"working directory a file":      {sound, sound, syscall.ENOTDIR, worker.WorkingDirectory, "not a directory"},
		"working directory in a circle": {sound, circle, syscall.ELOOP, worker.WorkingDirectory, "cannot be entered"},
		"relative to the directory":     {"./none", dir, syscall.ENOENT, worker.Missing, "does not exist"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explained := requireExplained(t, test.path, test.dir, start(test.path, test.dir))
			require.Equal(t, test.cause, explained.Cause, "%v", explained)
			require.ErrorIs(t, explained, test.errno)
			require.ErrorContains(t, explained, test.says)
		})
	}
}

func TestExplainOfTooManyArguments(t *testing.T) {
	t.Parallel()
	path := write(t, "worker", []byte(shell), 0o755)
	err := start(path, "", strings.Repeat("x", 8<<20))
	explained := requireExplained(t, path, "", err)
	require.Equal(t, worker.Arguments, explained.Cause)
	require.ErrorIs(t, explained, syscall.E2BIG)
	require.False(t, worker.Retryable(explained))
}

// A file that is sound by now leaves the kernel's own word, and what to do about it.
func TestExplainOfWhatIsSound(t *testing.T) {
	t.Parallel()
	path := write(t, "worker", []byte(shell), 0o755)
	for errno, says := range map[syscall.Errno]string{
		syscall.ENOENT: "start it again", syscall.EACCES: "AppArmor", syscall.EPERM: "AppArmor",
		syscall.ELOOP: "interpreter", syscall.ENOEXEC: "kernel", syscall.EIO: "input/output error",
	} {
		explained := requireExplained(t, path, t.TempDir(), errno)
		require.ErrorIs(t, explained, errno)
		require.ErrorContains(t, explained, says)
		require.Empty(t, explained.Cause)
	}
	require.NoError(t, worker.Explain(path, "", nil))
}

func TestCheckOfModes(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o755))
	requireCause(t, worker.Check(pipe), worker.NotRegular)
	for mode, cause := range map[os.FileMode]worker.Cause{
		0o755: "", 0o700: "", 0o500: "", 0o644: worker.NotExecutable, 0o666: worker.NotExecutable,
		0o775: worker.Writable, 0o757: worker.Writable, 0o777: worker.Writable, 0o720: worker.Writable,
		0o755 | os.ModeSetuid: worker.SetID, 0o755 | os.ModeSetgid: worker.SetID,
	} {
		err := worker.Check(write(t, "worker", []byte(shell), mode))
		if cause == "" {
			require.NoError(t, err, mode)
			continue
		}
		requireCause(t, err, cause)
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(write(t, "worker", []byte(shell), mode), link))
		requireCause(t, worker.Check(link), cause)
	}
	require.ErrorContains(t, worker.Check(write(t, "worker", []byte(shell), 0o775)), "its group")
	require.ErrorContains(t, worker.Check(write(t, "worker", []byte(shell), 0o777)), "everyone")
}

// What follows does not hold for root, so a user without privileges tries it: see try.
func TestPermissionsOfAnotherUser(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file, parent, dir os.FileMode
		starts            bool
		check, explain    worker.Cause
		says              string
	}{
		"all allowed":                      {0o500, 0o500, 0o500, true, "", "", ""},
		"not executable by its owner":      {0o455, 0o500, 0o500, false, worker.NotExecutable, worker.NotExecutable, "by this user"},
		"parent not searchable":            {0o500, 0o000, 0o500, false, worker.Unreachable, worker.Unreachable, "may not search"},
		"working directory not searchable": {0o500, 0o500, 0o400, false, "", worker.WorkingDirectory, "may not be entered"},
		"not readable, which exec allows":  {0o100, 0o500, 0o500, true, worker.Unreadable, "", "cannot be read"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := publicDir(t)
			request := trial{Path: filepath.Join(base, "parent", "worker"), Dir: filepath.Join(base, "dir")}
			copyTo(t, request.Path, truth(t))
			own(t, request.Path, test.file)
			require.NoError(t, os.Mkdir(request.Dir, 0o700))
			own(t, request.Dir, test.dir)
			own(t, filepath.Dir(request.Path), test.parent)

			result := try(t, request)
			require.Equal(t, test.starts, result.Started, "%+v", result)
			require.Equal(t, test.check, result.Check.Cause, "%+v", result)
			require.Equal(t, test.explain, result.Explain.Cause, "%+v", result)
			require.Contains(t, result.Check.Text+result.Explain.Text, test.says)
			require.Equal(t, !test.starts, result.Errno == syscall.EACCES)
		})
	}
}

// A process that has no descriptor left says so, and does not blame the file.
func TestNoDescriptorLeft(t *testing.T) {
	t.Parallel()
	result := try(t, trial{Path: truth(t), NoDescriptors: true})
	require.False(t, result.Started)
	require.True(t, result.Retryable)
	require.Equal(t, syscall.EMFILE, result.Errno)
	require.Equal(t, worker.Exhausted, result.Explain.Cause)
	require.Equal(t, worker.Exhausted, result.Check.Cause)
}

func requireExplained(t *testing.T, path, dir string, err error) *worker.Error {
	t.Helper()
	require.Error(t, err)
	errno := errnoOf(err)
	require.NotZero(t, errno, "%v", err)
	var explained *worker.Error
	require.ErrorAs(t, worker.Explain(path, dir, err), &explained)
	require.Equal(t, path, explained.Path)
	require.ErrorIs(t, explained, errno)
	requireOneLine(t, explained)
	return explained
}

// start starts path as the hive does and waits for its end.
func start(path, dir string, args ...string) error {
	pid, err := syscall.ForkExec(path, append([]string{path}, args...), &syscall.ProcAttr{Dir: dir})
	if err != nil {
		return os.NewSyscallError("fork/exec", err)
	}
	_, err = syscall.Wait4(pid, new(syscall.WaitStatus), 0, nil)
	return err
}
