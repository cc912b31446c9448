//go:build unix

package catalog

import (
	"errors"
	"os"
	"syscall"
)

// lockDir keeps other processes from changing the catalog until unlock is called. Look-ups are not kept from reading it:
// they see each change whole.
func lockDir(path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = dir.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return func() { _ = dir.Close() }, nil
}
