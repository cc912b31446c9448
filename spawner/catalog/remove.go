package catalog

import (
	"fmt"
	"os"
	"path/filepath"
)

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
// [*NotFoundError] if there is none.
func (c *Catalog) Remove(name, version string) error {
	unlock, err := lockDir(c.dir)
	if err == nil {
		defer unlock()
	} else if !os.IsNotExist(err) {
		return err
	}
	dirs, err := c.Dirs(name, version)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		hidden, err := os.MkdirTemp(c.dir, removing+"*")
		if err == nil {
			err = os.Rename(dir, filepath.Join(hidden, "entry"))
		}
		if err == nil {
			err = syncDir(c.dir)
		}
		if err == nil {
			err = os.RemoveAll(hidden)
		}
		if err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	return nil
}
