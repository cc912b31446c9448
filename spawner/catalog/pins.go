package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

// pinsName is the name of the file in the catalog that says which versions are pinned: an object with a version for each
// name of a worker.
const pinsName = "pins.json"

// pins is what the file says, with the stamp that it bore.
type pins struct {
	stamp    stamp
	versions map[string]string
}

// Pins returns the version that is pinned for each worker that has one.
func (c *Catalog) Pins() (map[string]string, error) {
	if _, err := c.read(); err != nil {
		return nil, err
	}
	versions, err := c.readPins()
	return maps.Clone(versions), err
}

// Pin has jobs that name no version get this one of the worker called name, and nothing else: should it be broken or
// missing some day, they fail. It must be there and sound. The error is that of [Catalog.Find] otherwise.
func (c *Catalog) Pin(name, version string) error {
	if _, _, err := c.Find(name, version); err != nil { // the catalog itself may be missing
		return err
	}
	unlock, err := lockDir(c.dir)
	if err != nil {
		return fmt.Errorf("write %s: %w", pinsName, err)
	}
	defer unlock()
	if _, _, err := c.Find(name, version); err != nil { // it was removed a moment ago
		return err
	}
	return c.writePins(func(versions map[string]string) { versions[name] = version })
}

// Unpin gives jobs that name no version the highest of the worker called name again, and reports whether one was pinned.
func (c *Catalog) Unpin(name string) (was bool, err error) {
	versions, err := c.Pins()
	if err != nil || versions[name] == "" {
		return false, err
	}
	unlock, err := lockDir(c.dir)
	if err != nil {
		return false, fmt.Errorf("write %s: %w", pinsName, err)
	}
	defer unlock()
	return true, c.writePins(func(versions map[string]string) { delete(versions, name) })
}

// Dangling returns the pins of versions that are not there: jobs that name no version fail.
func (c *Catalog) Dangling() (map[string]string, error) {
	pins, err := c.Pins()
	if err != nil || len(pins) == 0 {
		return nil, err
	}
	dangling := make(map[string]string)
	for name, version := range pins {
		_, err := c.Dirs(name, version)
		if _, missing := errors.AsType[*NotFoundError](err); missing {
			dangling[name] = version
		} else if err != nil {
			return nil, err
		}
	}
	return dangling, nil
}

// Previous returns the sound entry below the one that a job without a version gets: what a rollback goes back to.
func (c *Catalog) Previous(name string) (Entry, error) {
	now, _, err := c.Find(name, "")
	if err != nil {
		return Entry{}, err
	}
	all, _, err := c.List()
	if err != nil {
		return Entry{}, err
	}
	behind := false
	for _, entry := range all {
		if entry.Name != name {
			continue
		}
		if entry.Version == now.Version {
			behind = true
		} else if release, err := parseRelease(entry.Version); behind && err == nil && !release.prerelease() {
			return entry, nil
		}
	}
	return Entry{}, fmt.Errorf("worker %q has no version below %s to go back to", name, now.Version)
}

// writePins changes what is pinned. The caller has locked the catalog.
func (c *Catalog) writePins(change func(map[string]string)) error {
	versions, err := c.readPins()
	if err != nil {
		return err
	}
	if versions = maps.Clone(versions); versions == nil {
		versions = make(map[string]string)
	}
	change(versions)
	data, err := json.MarshalIndent(versions, "", "  ")
	if err == nil {
		err = writeWhole(filepath.Join(c.dir, pinsName), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", pinsName, err)
	}
	c.pinned.Store(nil)
	return nil
}

// writeWhole writes a file that appears whole or not at all, and returns when it is on disk.
func writeWhole(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // after the rename, there is none of that name
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

// readPins returns what is pinned. The file is read again only when it was touched.
func (c *Catalog) readPins() (map[string]string, error) {
	if c.dir == "" {
		return nil, nil
	}
	path := filepath.Join(c.dir, pinsName)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = c.checkTrusted(path, info)
	}
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	current := stampOf(info)
	if kept := c.pinned.Load(); kept != nil && kept.stamp == current {
		return kept.versions, nil
	}
	data, err := readSame(path, info)
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	fresh := &pins{stamp: current}
	if fresh.versions, err = decodePins(path, data); err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	if current.isSettled(c.now()) {
		c.pinned.Store(fresh)
	}
	return fresh.versions, nil
}

func decodePins(file string, data []byte) (map[string]string, error) {
	r, versions := newReader(file, data), make(map[string]string)
	r.object(nil, func(name string) bool {
		if err := checkName(name); err != nil {
			r.fail(err)
		}
		versions[name] = r.text(checkVersion)
		return true
	})
	return versions, r.end()
}
