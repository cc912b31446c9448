//go:build unix

package doctor

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// writable returns nil if this user may make and remove files in the directory.
func writable(dir string) error { return access(dir, unix.W_OK|unix.X_OK) }

// searchable returns nil if this user may enter the directory.
func searchable(dir string) error { return access(dir, unix.X_OK) }

func access(path string, mode uint32) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}

// owner returns the id of the user to whom a file belongs.
func owner(info os.FileInfo) (uid int, known bool) {
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, false
	}
	return int(stat.Uid), true
}
