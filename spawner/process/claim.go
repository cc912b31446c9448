//go:build unix

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Claim is the right to start the processes of one worker: its lock.
type Claim struct {
	run    *RunDir
	worker string
	lock   int
	fresh  bool
	body   []byte // what Prepare was given, as JSON
}

// Claim takes the worker's lock. The error is [ErrHeld] if a process of the worker lives or is being started.
// Release the claim when the start has succeeded or failed; a started process keeps the lock.
func (d *RunDir) Claim(worker string) (*Claim, error) {
	err := unix.Mkdir(d.worker(worker), 0o700)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &fs.PathError{Op: "mkdir", Path: d.worker(worker), Err: err}
	}
	fresh := err == nil
	fd, err := lock(d.lockPath(worker))
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("%s: %w", worker, ErrHeld) // another start removes what it made; it lets go at once
	case err != nil:
		return nil, err
	case !fresh && !sameFile(fd, d.lockPath(worker)):
		unlock(fd)
		return nil, fmt.Errorf("%s: %w", worker, ErrHeld)
	}
	return &Claim{run: d, worker: worker, lock: fd, fresh: fresh}, nil
}

// sameFile reports whether the open file is still the one at path: a lock on a removed file keeps nobody out. Only who
// made a worker's directory removes it again, so who made it need not ask.
func sameFile(fd int, path string) bool {
	var open, there unix.Stat_t
	return unix.Fstat(fd, &open) == nil && unix.Stat(path, &there) == nil && open.Ino == there.Ino && open.Dev == there.Dev
}

// Fresh reports whether the worker had no directory before: no process of it has ever been started, as far as is known.
func (c *Claim) Fresh() bool { return c.fresh }

// Prepare writes into the lock file what is about to be started, so that a crash between the start and [Claim.Commit]
// loses nothing, and takes away the record of an earlier start. The body must encode to a JSON object with at least one
// field.
func (c *Claim) Prepare(body any) error {
	var err error
	if c.body, err = json.Marshal(body); err != nil {
		return fmt.Errorf("record of %s: %w", c.worker, err)
	}
	if !c.fresh {
		if err := c.forget(); err != nil {
			return err
		}
	}
	return c.write(Started{})
}

// Commit adds to what Prepare wrote which process was started, and makes that the worker's record by giving the lock file
// its second name: the record appears whole, and no second file has to be made.
func (c *Claim) Commit(p Started) error {
	if err := c.write(p); err != nil {
		return err
	}
	if err := unix.Link(c.run.lockPath(c.worker), c.recordPath()); err != nil {
		return &fs.PathError{Op: "link", Path: c.recordPath(), Err: err}
	}
	return nil
}

// Remove removes the worker's directory and releases the claim.
func (c *Claim) Remove() error {
	defer c.Release()
	// The lock goes before the directory and while it is held: whoever waits for it finds that it is no longer there.
	for _, path := range []string{c.recordPath(), c.recordPath() + newSuffix, c.run.lockPath(c.worker)} {
		if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
			return &fs.PathError{Op: "unlink", Path: path, Err: err}
		}
	}
	if err := unix.Rmdir(c.run.worker(c.worker)); err != nil {
		return &fs.PathError{Op: "rmdir", Path: c.run.worker(c.worker), Err: err}
	}
	return nil
}

func (c *Claim) recordPath() string { return c.run.worker(c.worker) + "/" + recordFile }

// forget removes the record of an earlier start and what it wrote into the lock file.
func (c *Claim) forget() error {
	if err := unix.Unlink(c.recordPath()); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "unlink", Path: c.recordPath(), Err: err}
	}
	if err := unix.Ftruncate(c.lock, 0); err != nil {
		return &fs.PathError{Op: "truncate", Path: c.run.lockPath(c.worker), Err: err}
	}
	return nil
}

// write writes the whole record. One with a process is never shorter than the one without, which it overwrites.
func (c *Claim) write(p Started) error {
	data, err := encodeRecord(p, c.body)
	if err != nil {
		return fmt.Errorf("record of %s: %w", c.worker, err)
	}
	for off := 0; off < len(data); {
		n, err := unix.Pwrite(c.lock, data[off:], int64(off))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return &fs.PathError{Op: "write", Path: c.run.lockPath(c.worker), Err: err}
		}
		off += max(n, 0)
	}
	return nil
}

// Release gives up this process's part in the lock. It may be called twice.
func (c *Claim) Release() {
	if c.lock >= 0 {
		unlock(c.lock)
		c.lock = -1
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
	} else if c.body != nil {
		_ = c.forget()
	}
	c.Release()
}
