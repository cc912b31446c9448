// Package devtree finds workers that were built in a Cargo workspace but not installed: the fallback of a developer.
//
// It looks only below the root of a workspace, never in the bare directory that a process happens to run in.
package devtree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/BurntSushi/toml"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// ErrNoWorkspace is the error of [Root] when there is no Cargo workspace, and in that of [Find] when it is given none.
var ErrNoWorkspace = errors.New("no Cargo workspace")

// manifest is the file that makes a directory a package or a workspace of Cargo.
const manifest = "Cargo.toml"

// profiles are the directories that Cargo builds into, in the order in which they are looked at: what a developer built
// last is most often the first.
func profiles() []string { return []string{"debug", "release"} }

// Root returns the nearest directory at or above from that holds a Cargo.toml with a [workspace] table, as an absolute path.
// A Cargo.toml without one, that of a member, is passed over.
//
// The error wraps [ErrNoWorkspace] when there is none, and when from is empty; else it says which Cargo.toml could not be
// read: one that is malformed hides what is above it, as it does for Cargo.
func Root(from string) (string, error) {
	if from == "" {
		return "", ErrNoWorkspace
	}
	dir, err := filepath.Abs(from)
	if err != nil {
		return "", fmt.Errorf("find workspace: %w", err)
	}
	for {
		found, err := isWorkspace(filepath.Join(dir, manifest))
		if err != nil {
			return "", fmt.Errorf("find workspace: %w", err)
		}
		if found {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%w at or above %q: name a directory in one", ErrNoWorkspace, from)
		}
		dir = parent
	}
}

// Base returns the [Root] at or above from, or from itself if there is none: that is enough where a worker.json says how to build.
func Base(from string) (string, error) {
	root, err := Root(from)
	if !errors.Is(err, ErrNoWorkspace) {
		return root, err
	}
	info, err := os.Stat(from)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", from)
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(from)
}

// isWorkspace reports whether a file is a Cargo.toml with a table of that name.
func isWorkspace(path string) (bool, error) {
	if !isRegular(path) {
		return false, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	var all struct {
		Workspace any `toml:"workspace"`
	}
	if err := toml.Unmarshal(content, &all); err != nil {
		return false, fmt.Errorf("read %q: %w", path, err)
	}
	_, isTable := all.Workspace.(map[string]any)
	return isTable, nil
}

// isRegular reports that a file is there and in reach, and no pipe or device, which reading might wait for.
func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Find returns the first sound program called name (without extension) that was built in the workspace at root, for
// debugging before for release, and the profile, "debug" or "release". Tried lists the paths that were looked at, in
// order, the found one last.
//
// The error is a [*NotFoundError]: nothing is built, all that is built is unsound, or root is empty. A name that is a path
// finds nothing. Another error means that this process could look at nothing now: [binary.Retryable] holds for it.
func Find(root, name string) (path, profile string, tried []string, err error) {
	notFound := &NotFoundError{Name: name, Root: root}
	if root == "" || !isFileName(name) {
		return "", "", nil, notFound
	}
	for _, profile := range profiles() {
		path := filepath.Join(root, "target", profile, fileName(name))
		notFound.Tried = append(notFound.Tried, path)
		err := binary.CheckBuilt(path)
		switch {
		case err == nil:
			return path, profile, notFound.Tried, nil
		case binary.Retryable(err):
			return "", "", notFound.Tried, err
		case !errors.Is(err, fs.ErrNotExist):
			notFound.Unsound = append(notFound.Unsound, err)
		}
	}
	return "", "", notFound.Tried, notFound
}

// isFileName reports whether name is one part of a path, so that a job which names it cannot lead elsewhere.
func isFileName(name string) bool {
	return name != "." && filepath.IsLocal(name) && filepath.Base(name) == name
}

func fileName(binary string) string {
	if runtime.GOOS == "windows" {
		return binary + ".exe"
	}
	return binary
}
