//go:build unix

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lock opens the file, making it where it is missing, and takes its lock. The lock belongs to the open file: it is held
// until every descriptor of it is closed, in whichever process (flock(2)). The error is [ErrHeld] if it is taken.
func lock(path string) (int, error) {
	var there unix.Stat_t
	if unix.Lstat(path, &there) == nil && there.Mode&unix.S_IFMT != unix.S_IFREG { // to open a pipe may never end
		return -1, &fs.PathError{Op: "open", Path: path, Err: errIrregular}
	}
	fd, err := openRetry(path, unix.O_RDONLY|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	for {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil {
		return fd, nil
	}
	unlock(fd)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return -1, fmt.Errorf("%s: %w", path, ErrHeld)
	}
	return -1, &fs.PathError{Op: "flock", Path: path, Err: err}
}

// Held reports whether a process has the worker's lock. Unlike a claim it makes nothing, and two that ask at once do
// not disturb each other.
func (d *RunDir) Held(worker string) (bool, error) {
	fd, err := openRetry(d.lockPath(worker), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "open", Path: d.lockPath(worker), Err: err}
	}
	defer closeFD(fd)
	for {
		err = unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	_ = unix.Flock(fd, unix.LOCK_UN) // a child that another goroutine forks in this moment has a copy of the descriptor
	return false, err
}

// unlock closes this process's descriptor of a lock. The lock stays held while another process has one.
func unlock(fd int) { closeFD(fd) }

func closeFD(fd int) { _ = unix.Close(fd) }

func openRetry(path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// checkPrivate returns an error unless dir is a directory of this user that nobody else can write to.
func checkPrivate(dir string) error { return checkPrivateTo(dir, os.Geteuid()) }

// ownerOf returns the user whose directory it is, or this one if that cannot be told.
func ownerOf(dir string) int {
	info, err := os.Lstat(dir)
	if err != nil {
		return os.Geteuid()
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// checkPrivateTo is checkPrivate for a directory of another user.
func checkPrivateTo(dir string, owner int) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory; remove it or name another with --run-dir", dir)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != owner {
		return fmt.Errorf("%s belongs to user %d, not to %d; name another with --run-dir", dir, stat.Uid, owner)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s has mode %04o: others can write to it; run chmod 0700 on it", dir, info.Mode().Perm())
	}
	return nil
}

// writeOwn writes a file as [readOwn] reads it: where a link or a pipe lies in its place, nothing is written through it, and nobody waits
// for a reader.
func writeOwn(path string, data []byte) error {
	fd, err := openRetry(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EISDIR) {
		err = errIrregular
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer closeFD(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return &fs.PathError{Op: "open", Path: path, Err: errIrregular}
	}
	return writeAll(fd, data, path)
}

// readOwn reads a file of its owner that is no link and no larger than [mostRecord]: in a directory that was tampered with,
// anything can lie where a record is looked for.
func readOwn(path string, owner int) ([]byte, error) {
	fd, err := openRetry(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer closeFD(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s is not a regular file", path)
	case int(stat.Uid) != owner:
		return nil, fmt.Errorf("%s belongs to user %d, not to %d", path, stat.Uid, owner)
	case stat.Size > mostRecord:
		return nil, fmt.Errorf("%s has %d bytes, which no record has", path, stat.Size)
	}
	data := make([]byte, stat.Size)
	for filled := 0; filled < len(data); {
		n, err := unix.Pread(fd, data[filled:], int64(filled))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0: // it became shorter
			return data[:filled], nil
		default:
			filled += n
		}
	}
	return data, nil
}

// Stamp tells one version of a worker's record, or of all of them, from every other.
type Stamp struct {
	inode, size       int64
	links             int64
	modified, changed int64 // nanoseconds
}

// Stamp returns the stamp of the worker's record as it is now. The error is fs.ErrNotExist if the worker has no directory.
func (d *RunDir) Stamp(worker string) (Stamp, error) { return stampOf(d.lockPath(worker)) }

// WorkersStamp returns a stamp that changes whenever a worker comes or goes, and before one that has ended is started again.
func (d *RunDir) WorkersStamp() (Stamp, error) { return stampOf(d.workers()) }

func stampOf(path string) (Stamp, error) {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return Stamp{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return Stamp{
		inode: int64(stat.Ino), size: stat.Size, links: int64(stat.Nlink), modified: stat.Mtim.Nano(), changed: stat.Ctim.Nano(),
	}, nil
}

// Settled reports whether no later version can bear the same stamp: the clock of a file system ticks every few milliseconds, or
// every second, and then there are no nanoseconds.
func (s Stamp) Settled() bool {
	const second = int64(time.Second)
	tick := 50 * time.Millisecond
	if s.modified%second == 0 || s.changed%second == 0 {
		tick = time.Second
	}
	return time.Since(time.Unix(0, max(s.modified, s.changed))) > tick
}
