//go:build unix

package binary

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// access asks the kernel whether this process may execute a file or search a directory: it alone knows about root, access
// control lists and mounts.
func access(path string) error { return unix.Access(path, unix.X_OK) }

// openFile is os.Open without its attempt to have the poller watch the file, which takes four system calls and fails for every
// regular file.
func openFile(path string) (*os.File, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path), nil
		case !errors.Is(err, unix.EINTR):
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

func checkExecutable(path string, mode fs.FileMode) *Error {
	err := access(path)
	if err == nil {
		return nil
	}
	return &Error{Path: path, Cause: NotExecutable, Err: err, Reason: whyNotExecutable(mode, onNoexecMount(path), err)}
}

func whyNotExecutable(mode fs.FileMode, noexec bool, err error) string {
	switch {
	case noexec:
		return "lies on a file system that is mounted noexec: install it elsewhere or mount that with exec"
	case mode.Perm()&0o111 == 0:
		return fmt.Sprintf("is not executable (mode %04o): run chmod 0755 on it", mode.Perm())
	}
	return fmt.Sprintf("is not executable by this user (mode %04o): %v; run chmod 0755 on it", mode.Perm(), root(err))
}

// writable reports whether others than its owner may write a file or directory of this mode.
func writable(mode, forbidden fs.FileMode) bool { return mode.Perm()&forbidden != 0 }

// unusable returns why a loader or an interpreter cannot be started, to be read behind "which", or "" when it can.
func unusable(path string) string {
	err := access(path)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	}
	if _, err := os.Stat(path); err == nil {
		return "is not executable by this user"
	}
	return fmt.Sprintf("cannot be reached (%v)", err)
}
