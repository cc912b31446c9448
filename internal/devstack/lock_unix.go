//go:build unix

package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse says that another process runs a fleet in the state directory.
var ErrInUse = errors.New("another fleet runs in this state directory: stop it, or name another directory")

// lockDir keeps other fleets out of dir until unlock is called or this process ends: two NATS servers must not share a
// store.
func lockDir(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	return func() { _ = file.Close() }, nil
}
