// Package catalog finds, verifies and installs the workers that an administrator put on this machine.
//
// A catalog is a directory with one directory for each worker and version:
//
//	<catalog>/<binary>-v<version>-<platform>/<binary>
//
// The version is a full semantic version, the platform is linux, darwin (or macos) or windows, and behind it an
// architecture may stand, as Go names it or as x86_64 or aarch64: without one, the entry is for any. On Windows the binary
// has the extension .exe.
//
// Each look-up sees the disk as it is, so what was installed, removed or changed by whatever means is seen by the next: what
// is remembered of a directory or a binary is remembered together with the kernel's stamp of its last change.
package catalog

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// Catalog is the directory of installed workers. Its methods may be called at the same time.
type Catalog struct {
	dir  string
	now  func() time.Time
	last atomic.Pointer[listing] // What the directory held when it was last read; nil when it must be read.
	good sync.Map                // The stamp that the binary at a path bore when it was last found sound.
}

// Open returns the catalog in dir without looking at it: a dir that does not exist is an empty catalog.
func Open(dir string) *Catalog { return &Catalog{dir: dir, now: time.Now} }

// Entry is a worker that was found sound: it can be started here.
type Entry struct {
	Name    string // The name of the binary, without extension: "cpu-llm-worker-rbee".
	Version string // A semantic version without "v".
	OS      string // As in runtime.GOOS.
	Arch    string // As in runtime.GOARCH; empty when the entry is for any architecture.
	Dir     string // The entry's directory, below the catalog's as it was given to Open.
	Binary  string // The path of the program.
}

// Broken is an entry that was skipped.
type Broken struct {
	Path string // The entry's directory.
	Err  error  // Why, on one line that names the entry; often a *binary.Error.
}

// Find returns the entry of the worker called name for this platform. An empty version takes the highest semantic version
// that is no prerelease; any other takes exactly that version, which may be a prerelease. Of equal versions, an entry for
// this architecture comes before one for any.
//
// Entries that come first but are broken are skipped and returned beside the choice, so that the caller can warn of them.
// When no sound entry is left, the error is a [*NotFoundError]. Any other error means that the catalog could not be read
// or is not to be trusted, because others than its owner may write it; one for which [binary.Retryable] holds passes.
func (c *Catalog) Find(name, version string) (Entry, []Broken, error) {
	all, err := c.read()
	if err != nil {
		return Entry{}, nil, err
	}
	var broken []Broken
	candidates := all.named(name)
	for _, candidate := range candidates {
		if !candidate.isWanted(version) {
			continue
		}
		entry, err := c.load(candidate)
		if err == nil {
			return entry, broken, nil
		}
		if binary.Retryable(err) {
			return Entry{}, broken, err
		}
		broken = append(broken, Broken{Path: filepath.Join(c.dir, candidate.dir), Err: err})
	}
	if version == "" {
		broken = append(broken, c.unreadable(all, name)...)
	}
	return Entry{}, broken, c.notFound(name, version, candidates, broken)
}

// List returns all sound entries for this platform, by name and then from the highest version down, and the broken ones by
// path. A catalog that does not exist is empty; the errors are those of Find, without [*NotFoundError].
func (c *Catalog) List() ([]Entry, []Broken, error) {
	all, err := c.read()
	if err != nil {
		return nil, nil, err
	}
	var entries []Entry
	broken := c.unreadable(all, "")
	for _, candidate := range all.candidates {
		entry, err := c.load(candidate)
		switch {
		case err == nil:
			entries = append(entries, entry)
		case binary.Retryable(err):
			return nil, nil, err
		default:
			broken = append(broken, Broken{Path: filepath.Join(c.dir, candidate.dir), Err: err})
		}
	}
	sortByPath(broken)
	return entries, broken, nil
}

// load makes an entry of what the name of a directory promises, or says why it is broken. A manifest in the directory
// (worker.json) has no meaning yet; this is where it is to be read.
func (c *Catalog) load(found candidate) (Entry, error) {
	dir := filepath.Join(c.dir, found.dir)
	if err := c.checkDir(dir); err != nil {
		return Entry{}, err
	}
	path := filepath.Join(dir, fileName(found.name))
	if err := c.check(path); err != nil {
		return Entry{}, err
	}
	return Entry{
		Name: found.name, Version: found.version.String(), OS: found.os, Arch: found.arch,
		Dir: dir, Binary: path,
	}, nil
}

// check verifies the binary, unless it was found sound before and has not been touched since.
func (c *Catalog) check(path string) error {
	var current stamp
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() == fs.ModeSymlink {
		if err := c.checkLink(path); err != nil {
			return err
		}
		info, err = os.Stat(path)
	}
	if err == nil {
		current = stampOf(info)
	}
	if known, ok := c.good.Load(path); ok && known == current {
		return nil
	}
	err = binary.Check(path)
	if err == nil && current.isSettled(c.now()) {
		c.good.Store(path, current)
	}
	return err
}

// checkDir verifies that the directory of an entry lies in the catalog and that only its owner may write it.
func (c *Catalog) checkDir(dir string) error {
	info, err := os.Lstat(dir)
	if err == nil && info.Mode().Type() == fs.ModeSymlink {
		if err := c.checkLink(dir); err != nil {
			return err
		}
		info, err = os.Stat(dir)
	}
	if err != nil {
		return fmt.Errorf("read entry: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%q is not a directory: an entry is a directory that holds the binary", dir)
	}
	return binary.CheckPrivate(dir, info.Mode())
}

// checkLink verifies that a symbolic link in the catalog leads to something in the catalog.
func (c *Catalog) checkLink(link string) error {
	root, err := filepath.EvalSymlinks(c.dir)
	if err != nil {
		return fmt.Errorf("follow the catalog %q: %w", c.dir, err)
	}
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return fmt.Errorf("follow the symbolic link %q: %w", link, err)
	}
	inside, err := filepath.Rel(root, target)
	if err != nil || inside == "." || !filepath.IsLocal(inside) {
		return fmt.Errorf("%q is a symbolic link that leads out of the catalog, to %q: install the worker instead", link, target)
	}
	return nil
}

// unreadable returns the directories whose names begin as entries of the worker called name (empty: of any) but tell no
// version.
func (c *Catalog) unreadable(all *listing, name string) []Broken {
	var broken []Broken
	for _, dir := range all.unreadable {
		if name == "" || strings.HasPrefix(dir, name+"-v") {
			path := filepath.Join(c.dir, dir)
			broken = append(broken, Broken{Path: path, Err: fmt.Errorf(
				"%q has no semantic version in its name: call it <binary>-v<major>.<minor>.<patch>-%s", path, runtime.GOOS)})
		}
	}
	return broken
}

// fileName returns the name of the file that holds a binary.
func fileName(binary string) string {
	if runtime.GOOS == "windows" {
		return binary + ".exe"
	}
	return binary
}
