package catalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// names are the names that a worker can be installed under: each is one part of a path.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Install copies the program at from into the catalog, as the worker called name in a version for this platform, and
// returns the entry. Either the whole entry appears, on disk for good, or none does: it is made under a hidden name in the
// catalog, which is created if need be, and renamed.
//
// The error wraps [ErrExists] when the version is installed, and a [*binary.Error] when the program cannot be started here
// (its mode does not matter, the copy's is 0755). A name or version that no entry can have is refused.
func (c *Catalog) Install(name, version, from string) (Entry, error) {
	entry, err := c.install(name, version, from)
	if err != nil {
		return Entry{}, fmt.Errorf("install %q version %q: %w", name, version, err)
	}
	return entry, nil
}

func (c *Catalog) install(name, version, from string) (Entry, error) {
	target, err := plan(name, version)
	if err != nil {
		return Entry{}, err
	}
	if err := checkSource(from); err != nil {
		return Entry{}, err
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return Entry{}, err
	}
	if err := c.checkFree(target); err != nil {
		return Entry{}, err
	}
	temporary, err := os.MkdirTemp(c.dir, ".install-*")
	if err != nil {
		return Entry{}, err
	}
	defer os.RemoveAll(temporary) // After the rename, there is none of that name.
	if err := fill(temporary, fileName(name), from); err != nil {
		return Entry{}, err
	}
	if err := os.Rename(temporary, filepath.Join(c.dir, target.dir)); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return Entry{}, ErrExists // Somebody else was faster.
		}
		return Entry{}, err
	}
	if err := syncDir(c.dir); err != nil {
		return Entry{}, err
	}
	return c.load(target)
}

// plan returns the candidate that the entry's directory is to be read as.
func plan(name, version string) (candidate, error) {
	dir := fmt.Sprintf("%s-v%s-%s-%s", name, version, runtime.GOOS, runtime.GOARCH)
	found, ours := parse(dir)
	switch {
	case !names.MatchString(name):
		return found, errors.New("want a name of letters, digits, dots, dashes and underscores that begins with one of the first two")
	case !ours || found.version == nil || found.version.String() != version || found.name != name:
		return found, errors.New("want a semantic version such as 1.2.3")
	}
	return found, nil
}

// checkSource refuses what can never be an entry before anything is copied.
func checkSource(from string) error {
	err := binary.Check(from)
	if errors.Is(err, binary.Writable) || errors.Is(err, binary.NotExecutable) {
		return nil // The copy is not; it is checked again.
	}
	return err
}

// checkFree refuses a target that is there, under whatever spelling of the platform.
func (c *Catalog) checkFree(target candidate) error {
	all, err := c.read()
	if err != nil {
		return err
	}
	for _, other := range all.named(target.name) {
		if other.arch == target.arch && other.version.String() == target.version.String() {
			return ErrExists
		}
	}
	return nil
}

// fill makes the whole content of an entry in dir.
func fill(dir, name, from string) error {
	path := filepath.Join(dir, name)
	if err := copyFile(path, from); err != nil {
		return err
	}
	if err := binary.Check(path); err != nil {
		if e, ok := errors.AsType[*binary.Error](err); ok {
			e.Path = from // The copy is gone when this is read.
		}
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return syncDir(dir)
}

// copyFile copies a file and returns when the copy is on disk.
func copyFile(path, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, source)
	err = errors.Join(err, file.Chmod(0o755), file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("copy %q: %w", from, err)
	}
	return nil
}

// syncDir returns when the names in a directory are on disk. Windows has no such call.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
