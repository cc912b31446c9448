package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// InspectRunDir returns the directory at path if [OpenRunDir] would take it as it is, and changes nothing. The error is
// fs.ErrNotExist if there is none yet, and otherwise what OpenRunDir would say of it.
func InspectRunDir(path string) (*RunDir, error) {
	return inspect(path, os.Geteuid())
}

// PeekRunDir is [InspectRunDir] for who only wants to know what runs: root may ask it of any user's directory. What that
// user wrote there is then no more than what they say.
func PeekRunDir(path string) (*RunDir, error) {
	owner := os.Geteuid()
	if owner == 0 {
		owner = ownerOf(path)
	}
	return inspect(path, owner)
}

func inspect(path string, owner int) (*RunDir, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		err = checkPrivateTo(abs, owner)
	}
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	if err := ready(); err != nil {
		return nil, err
	}
	d := &RunDir{owner: owner}
	if d.path, err = filepath.EvalSymlinks(abs); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	for _, dir := range []string{d.workers(), d.ports()} {
		if err := checkPrivateTo(dir, owner); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("run directory: %w", err)
		}
	}
	return d, nil
}

// Owner returns the name that [RunDir.Belong] wrote; empty if the directory belongs to nobody yet.
func (d *RunDir) Owner() (string, error) {
	data, err := os.ReadFile(d.path + "/owner")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("run directory: %w", err)
	}
	return string(data), nil
}

// Bindable returns nil if nobody listens on the TCP port, and [ErrHeld] if a process does: what [Ports.Take] proves, without
// its lock. So the port may belong to a worker that does not listen yet.
func Bindable(port int) error { return bindable(port) }
