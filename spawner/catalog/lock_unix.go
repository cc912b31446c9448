//go:build unix

package catalog

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// locks says that a directory can be locked here, and that a lock ends with the process that holds it.
const locks = true

// lockPatience is how long a change waits for others to be done with theirs, which take moments.
const lockPatience = 10 * time.Second

// lockDir keeps other processes from changing the catalog until unlock is called. Look-ups are not kept from reading it:
// they see each change whole. Whoever may read the directory can lock it, so nobody waits for it without an end.
func lockDir(path string) (unlock func(), err error) {
	late := time.Now().Add(lockPatience)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		unlock, err = tryLock(path)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return unlock, err
		}
		if time.Now().After(late) {
			return nil, fmt.Errorf("another process has been changing the catalog for %s: try again when it has ended (`fuser %s` shows it): %w", lockPatience, path, err)
		}
		<-time.After(pause)
	}
}

// tryLock is lockDir without waiting; the error is EWOULDBLOCK while another holds the lock.
func tryLock(path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = dir.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return func() { _ = dir.Close() }, nil
}
