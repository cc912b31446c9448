package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// load makes an entry of what the name of a directory promises and its manifest says, or says why it is broken.
func (c *Catalog) load(found candidate) (Entry, error) {
	dir := filepath.Join(c.dir, found.dir)
	if err := c.checkDir(dir); err != nil {
		return Entry{}, err
	}
	manifest, err := c.manifest(filepath.Join(dir, ManifestName))
	if err != nil {
		return Entry{}, err
	}
	entry := Entry{
		Name: found.name, Version: found.version.String(), OS: found.os, Arch: found.arch, Dir: dir, Manifest: manifest,
		Binary: filepath.Join(dir, fileName(found.name)),
	}
	if manifest != nil {
		if err := entry.agree(); err != nil {
			return Entry{}, err
		}
		if manifest.Binary != "" {
			entry.Binary = within(dir, manifest.Binary)
		}
		for _, file := range manifest.Files {
			if err := c.checkFile(dir, file); err != nil {
				return Entry{}, err
			}
		}
	}
	if err := c.checkPlace(dir, entry.Binary); err != nil {
		return Entry{}, err
	}
	return entry, c.check(entry.Binary)
}

// within returns where a path of a manifest leads.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// agree returns an error if the manifest is that of another entry.
func (e Entry) agree() error {
	path := filepath.Join(e.Dir, ManifestName)
	if name := e.Manifest.Name; name != "" && name != e.Name {
		return fmt.Errorf("%s: name: is %s in the entry of %s: make them the same", path, name, e.Name)
	}
	if version := e.Manifest.Version; version != "" && version != e.Version {
		return fmt.Errorf("%s: version: is %s in the entry of version %s: make them the same", path, version, e.Version)
	}
	return nil
}

// readManifest is a manifest with the stamp of the file that it was read from.
type readManifest struct {
	stamp stamp
	*Manifest
}

// manifest returns what the file at path says, or nil if there is none. It is read again only when it was touched.
func (c *Catalog) manifest(path string) (*Manifest, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = c.checkTrusted(path, info)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	current := stampOf(info)
	if kept, ok := c.manifests.Load(path); ok && kept.(readManifest).stamp == current {
		return kept.(readManifest).Manifest, nil
	}
	data, err := readSame(path, info)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	manifest, err := DecodeManifest(path, data)
	if err == nil && current.isSettled(c.now()) {
		c.manifests.Store(path, readManifest{current, manifest})
	}
	return manifest, err
}

// checkTrusted returns an error for a file that somebody else could have written, or that is none.
func (c *Catalog) checkTrusted(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%q is no regular file", path)
	}
	if err := binary.CheckPrivate(path, info.Mode()); err != nil {
		return err
	}
	return binary.CheckOwner(path, info, c.user)
}

// readSame reads the file that info tells of, and not one that has taken its place.
func readSame(path string, info fs.FileInfo) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	opened, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(info, opened) {
		return nil, replaced(path)
	}
	return io.ReadAll(io.LimitReader(file, MaxManifest+1))
}

// replaced is the error for a file that another has taken the place of while it was looked at.
func replaced(path string) error {
	return &binary.Error{Path: path, Cause: binary.Busy, Reason: "is being replaced: try again", Err: syscall.ETXTBSY}
}

// check verifies the binary, unless it was found sound before and has not been touched since.
func (c *Catalog) check(path string) error {
	var current stamp
	info, err := os.Stat(path)
	if err == nil {
		current = stampOf(info)
	}
	if known, ok := c.good.Load(path); ok && known == current {
		return nil
	}
	err = binary.Check(path)
	if err == nil && info != nil {
		err = binary.CheckOwner(path, info, c.user)
	}
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
	return cmp.Or(binary.CheckPrivate(dir, info.Mode()), binary.CheckOwner(dir, info, c.user))
}

// checkFile verifies that a file that a manifest asks for is there.
func (c *Catalog) checkFile(dir, file string) error {
	path := within(dir, file)
	if err := c.checkPlace(dir, path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: needs %s, which is missing: %w", filepath.Join(dir, ManifestName), file, err)
	}
	return cmp.Or(binary.CheckPrivate(path, info.Mode()), binary.CheckOwner(path, info, c.user))
}

// checkPlace verifies that nobody but its owner can put another file at the path. Below the entry's directory, no symbolic
// link may lead out of the catalog and every directory must be private. Elsewhere, no directory above it may be another user's,
// or one that everybody can rename files in. A group may: that of /usr/local can on some systems.
func (c *Catalog) checkPlace(dir, path string) error {
	inside, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(inside) {
		return c.checkParents(path)
	}
	for at := dir; inside != ""; {
		var name string
		name, inside, _ = strings.Cut(inside, string(filepath.Separator))
		at = filepath.Join(at, name)
		info, err := os.Lstat(at)
		switch {
		case err != nil:
			inside = "" // who looks for the file itself says what is wrong
		case info.Mode().Type() == fs.ModeSymlink:
			if err := c.checkLink(at); err != nil {
				return err
			}
		case info.IsDir():
			if err := cmp.Or(binary.CheckPrivate(at, info.Mode()), binary.CheckOwner(at, info, c.user)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkParents verifies the directories above a program that was installed elsewhere.
func (c *Catalog) checkParents(path string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil { // else who looks for the file itself says what is wrong
		path = real
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look above %q: %w", path, err)
		}
		if err := binary.CheckOwner(dir, info, c.user); err != nil {
			return err
		}
		if mode := info.Mode(); mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0 {
			if err := binary.CheckPrivate(dir, mode); err != nil {
				return err
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
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
