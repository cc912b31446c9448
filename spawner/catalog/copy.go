package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// copyInto copies what is to be installed into the directory of an entry: a program under the given name, what a directory
// holds, or of a manifest nothing, since that is written anew.
func copyInto(ctx context.Context, dir, from, name string) error {
	info, err := os.Stat(from)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return copyTree(ctx, dir, from)
	case filepath.Base(from) == ManifestName:
		return nil
	}
	return copyFile(ctx, filepath.Join(dir, name), from, 0o755)
}

// copyTree copies a directory: files, directories, and symbolic links that stay in it. Only the owner may write the copies.
func copyTree(ctx context.Context, to, from string) error {
	if err := checkApart(to, from); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(from, path)
		if err != nil || inside == "." || inside == ManifestName {
			return err
		}
		target := filepath.Join(to, inside)
		switch entry.Type() {
		case 0:
			info, err := entry.Info()
			if err != nil {
				return err
			}
			mode := fs.FileMode(0o644)
			if info.Mode().Perm()&0o111 != 0 {
				mode = 0o755
			}
			return copyFile(ctx, target, path, mode)
		case fs.ModeDir:
			if err := os.Mkdir(target, 0o755); err != nil {
				return err
			}
			return os.Chmod(target, 0o755)
		case fs.ModeSymlink:
			return copyLink(target, path, filepath.Dir(inside))
		}
		return fmt.Errorf("copy %q: it is neither a file nor a directory (%v): leave it out", path, entry.Type())
	})
}

// checkApart refuses to copy a directory into itself, which has no end.
func checkApart(to, from string) error {
	real, err := filepath.EvalSymlinks(to)
	if err == nil {
		to = real
	}
	above, err := os.Stat(from)
	if err != nil {
		return err
	}
	for dir := filepath.Dir(to); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && os.SameFile(info, above) {
			return fmt.Errorf("the catalog lies in %q: install a directory that holds a worker and nothing else", from)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// copyLink copies a symbolic link that lies in the directory inside and stays below the one that is copied.
func copyLink(to, link, inside string) error {
	target, err := os.Readlink(link)
	if err != nil {
		return err
	}
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(inside, target)) {
		return fmt.Errorf("copy %q: it is a symbolic link to %q, which leads out of what is installed: copy the file there instead", link, target)
	}
	return os.Symlink(target, to)
}

// copyFile copies a file and returns when the copy is on disk.
func copyFile(ctx context.Context, path, from string, mode fs.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, until(ctx, source))
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("copy %q: %w", from, err)
	}
	return nil
}

// readerFunc is a function that reads.
type readerFunc func([]byte) (int, error)

func (read readerFunc) Read(buffer []byte) (int, error) { return read(buffer) }

// until returns a reader that reads until the context ends.
func until(ctx context.Context, from io.Reader) io.Reader {
	return readerFunc(func(buffer []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return from.Read(buffer)
	})
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
