//go:build unix

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/fault"
)

// Claim is the right to start the processes of one worker: its lock.
type Claim struct {
	run    *RunDir
	worker string
	lock   int  // only for reading: the worker inherits it, and must not be able to write its record by mistake
	writer int  // the same file for writing; -1 before Prepare
	fresh  bool // nothing was ever started
	body   []byte
}

// Claim takes the worker's lock. The error is [ErrHeld] if a process of the worker lives or is being started.
// Release the claim when the start has succeeded or failed; a started process keeps the lock.
func (d *RunDir) Claim(worker string) (*Claim, error) {
	err := unix.Mkdir(d.worker(worker), 0o700)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &fs.PathError{Op: "mkdir", Path: d.worker(worker), Err: err}
	}
	made := err == nil
	fd, err := lock(d.lockPath(worker))
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("%s: %w", worker, ErrHeld) // another start removes what it made; it lets go at once
	}
	if err != nil {
		return nil, err
	}
	var open unix.Stat_t
	if unix.Fstat(fd, &open) != nil || open.Nlink == 0 {
		unlock(fd) // a lock on a removed file keeps nobody out
		return nil, fmt.Errorf("%s: %w", worker, ErrHeld)
	}
	// Who made the directory is not always who gets the lock first: only what is in the file tells whether it was used.
	return &Claim{run: d, worker: worker, lock: fd, writer: -1, fresh: made && open.Size == 0 && open.Nlink == 1}, nil
}

// Fresh reports whether the worker had no directory before: no process of it has ever been started, as far as is known.
func (c *Claim) Fresh() bool { return c.fresh }

// Prepare writes into the lock file what is about to be started, so that a crash between the start and [Claim.Commit]
// loses nothing, and takes away the record of an earlier start. The body must be a JSON object with at least one field.
func (c *Claim) Prepare(body []byte) error {
	c.body = body
	var err error
	path := c.run.lockPath(c.worker)
	if c.writer, err = openRetry(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if !c.fresh {
		if err := c.forget(); err != nil {
			return err
		}
	}
	return c.Commit(Started{})
}

// Commit adds to what Prepare wrote which process was started. It never becomes shorter by that.
func (c *Claim) Commit(p Started) error {
	return writeAll(c.writer, encodeRecord(p, c.body), c.run.lockPath(c.worker))
}

// Replace makes p and body the record of a worker that has ended. Whoever reads it finds the old one or the new one, also when
// this process is killed meanwhile; only where there is no room for a second file, a moment without a record is risked.
func (c *Claim) Replace(p Started, body []byte) error {
	path, now := c.run.worker(c.worker)+"/"+recordFile, time.Now()
	err := writeUnfinished(path+unfinished, encodeRecord(p, body))
	if err == nil {
		fault.Point("process-rewritten")
		err = os.Rename(path+unfinished, path)
	}
	if err == nil {
		return os.Chtimes(c.run.lockPath(c.worker), now, now) // another stamp: see [RunDir.Stamp]
	}
	_ = unix.Unlink(path + unfinished)
	if err := c.Prepare(body); err != nil {
		return err
	}
	if err := c.Commit(p); err != nil {
		return err
	}
	return c.run.Publish(c.worker)
}

// Remove removes the worker's directory and releases the claim.
func (c *Claim) Remove() error {
	defer c.Release()
	// The lock goes before the directory and while it is held: whoever waits for it finds that it is no longer there.
	for _, path := range append(c.behind(), c.run.lockPath(c.worker)) {
		if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
			return &fs.PathError{Op: "unlink", Path: path, Err: err}
		}
	}
	dir := c.run.worker(c.worker)
	err := unix.Rmdir(dir)
	if errors.Is(err, unix.ENOTEMPTY) {
		removeUnfinished(dir)
		err = unix.Rmdir(dir)
	}
	if err != nil {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// behind returns the files that an earlier start may have left beside the lock, but for those of [removeUnfinished].
func (c *Claim) behind() []string {
	record := c.run.worker(c.worker) + "/" + recordFile
	return []string{record, record + unfinished, c.run.exitPath(c.worker), c.run.failurePath(c.worker)}
}

// removeUnfinished removes what a crash left unfinished of the files that have no one name while they are written.
func removeUnfinished(dir string) {
	for _, name := range []string{exitFile, failureFile} {
		left, _ := filepath.Glob(filepath.Join(dir, name+unfinished+"*"))
		for _, path := range left {
			_ = os.Remove(path)
		}
	}
}

// forget removes the record of an earlier start and what it wrote into the lock file. Behind that, and before anything is
// started, it touches the directory that all workers are in: see [RunDir.WorkersStamp].
func (c *Claim) forget() error {
	for _, path := range c.behind() {
		if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
			return &fs.PathError{Op: "unlink", Path: path, Err: err}
		}
	}
	if err := unix.Ftruncate(c.writer, 0); err != nil {
		return &fs.PathError{Op: "truncate", Path: c.run.lockPath(c.worker), Err: err}
	}
	now := time.Now()
	return os.Chtimes(c.run.workers(), now, now)
}

// Release gives up this process's part in the lock. It may be called twice.
func (c *Claim) Release() {
	for _, fd := range []*int{&c.writer, &c.lock} {
		if *fd >= 0 {
			closeFD(*fd)
			*fd = -1
		}
	}
}

// Abandon removes what the claim made, for a start that was refused, and releases the claim. After Release it does
// nothing.
func (c *Claim) Abandon() {
	if c.lock < 0 {
		return
	}
	if c.fresh {
		_ = unix.Unlink(c.run.lockPath(c.worker))
		_ = unix.Rmdir(c.run.worker(c.worker))
	} else if c.writer >= 0 {
		_ = c.forget()
	}
	c.Release()
}

// Publish makes what is in the worker's lock file its record, by giving the file its second name: the record appears whole.
// A record that is there already stays: it is the same file, or what [Claim.Replace] made of it.
func (d *RunDir) Publish(worker string) error {
	path := d.worker(worker) + "/" + recordFile
	if err := unix.Link(d.lockPath(worker), path); err != nil && !errors.Is(err, unix.EEXIST) {
		return &fs.PathError{Op: "link", Path: path, Err: err}
	}
	return nil
}

// WriteStarted writes into the lock file of a worker which process it is, for a start that was cut short before it could.
func (d *RunDir) WriteStarted(worker string, p Started, body []byte) error {
	fd, err := openRetry(d.lockPath(worker), unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: d.lockPath(worker), Err: err}
	}
	defer closeFD(fd)
	return writeAll(fd, encodeRecord(p, body), d.lockPath(worker))
}

func writeAll(fd int, data []byte, path string) error {
	for off := 0; off < len(data); {
		n, err := unix.Pwrite(fd, data[off:], int64(off))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return &fs.PathError{Op: "write", Path: path, Err: err}
		}
		off += max(n, 0)
	}
	return nil
}
