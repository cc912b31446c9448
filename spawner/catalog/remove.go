package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrPinned is the error of [Catalog.Remove] for the version that is pinned.
var ErrPinned = errors.New("jobs would fail without it")

// Dirs returns the directories of the entries of a worker and version for this platform, sound or broken: what
// [Catalog.Remove] removes.
func (c *Catalog) Dirs(name, version string) ([]string, error) {
	all, err := c.read()
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, candidate := range all.named(name) {
		if candidate.version.String() == version {
			dirs = append(dirs, filepath.Join(c.dir, candidate.dir))
		}
	}
	if len(dirs) == 0 {
		return nil, c.notFound(name, version, false, all.named(name), nil)
	}
	return dirs, nil
}

// Remove removes the entries of a worker and version for this platform, each by one rename, so that no look-up meets half of
// one. It does not ask who runs: a worker that was started goes on, and so does its program until it ends. The error is a
// [*NotFoundError] if there is none, and [ErrPinned] if the version is pinned. Forced, it is unpinned.
func (c *Catalog) Remove(name, version string, force bool) (unpinned bool, err error) {
	hidden, unpinned, err := c.hide(name, version, force)
	for _, dir := range hidden { // which may be large: nobody waits for it
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err == nil {
		c.sweep()
	}
	return unpinned, err
}

// hide unpins the version and moves its entries under names that are none of an entry, which it returns.
func (c *Catalog) hide(name, version string, force bool) (hidden []string, unpinned bool, err error) {
	unlock, err := lockDir(c.dir)
	if err == nil {
		defer unlock()
	} else if !os.IsNotExist(err) {
		return nil, false, err
	}
	dirs, err := c.Dirs(name, version)
	if err != nil {
		return nil, false, err
	}
	pins, err := c.readPins()
	if err != nil {
		return nil, false, err
	}
	if pins[name] == version {
		if !force {
			return nil, false, fmt.Errorf("%s %s is pinned: %w", name, version, ErrPinned)
		}
		if err := c.writePins(func(versions map[string]string) { delete(versions, name) }); err != nil {
			return nil, false, err
		}
		unpinned = true
	}
	for _, dir := range dirs {
		grave, err := os.MkdirTemp(c.dir, removing+"*")
		if err == nil {
			hidden = append(hidden, grave)
			err = os.Rename(dir, filepath.Join(grave, "entry"))
		}
		if err == nil {
			err = syncDir(c.dir)
		}
		if err != nil {
			return hidden, unpinned, fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	return hidden, unpinned, nil
}
