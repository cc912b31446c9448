package catalog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// ErrExists is the error of [Catalog.Install] when the catalog holds an entry of that name and version for this
// architecture, be it sound or broken.
var ErrExists = errors.New("already installed: remove it first or install another version")

// NotFoundError is the error of [Catalog.Find] when the catalog has no sound entry to choose.
type NotFoundError struct {
	Name      string
	Version   string   // As asked for or pinned; empty: any but a prerelease.
	Pinned    bool     // The version is the one that is pinned.
	Tried     []string // The paths that were looked for, with * for the version when none was asked for.
	Installed []string // The versions for this platform that were not asked for, from the highest down.
	Broken    []Broken // The entries that would have been chosen; empty when nothing of the kind is installed.
}

// Error says on one line what was looked for and what is there instead.
func (e *NotFoundError) Error() string {
	what := e.Name
	if e.Version != "" {
		what += " " + e.Version
	}
	text := fmt.Sprintf("worker %q is not installed: tried %s", what, strings.Join(e.Tried, ", "))
	if e.Pinned {
		text = fmt.Sprintf("worker %q is pinned in %s and not installed: tried %s", what, pinsName, strings.Join(e.Tried, ", "))
	}
	if len(e.Broken) > 0 {
		text = fmt.Sprintf("worker %q is installed, but cannot be started: %v", what, e.Broken[0].Err)
		if others := len(e.Broken) - 1; others > 0 {
			text += fmt.Sprintf(" (and %d more broken)", others)
		}
	}
	if len(e.Installed) > 0 {
		text += "; installed: " + strings.Join(e.Installed, ", ")
		if e.Version == "" {
			text += " (ask for a prerelease by its version)"
		}
	}
	if e.Pinned {
		text += "; install it, or unpin the worker"
	}
	return text
}

func (c *Catalog) notFound(name, version string, pinned bool, candidates []candidate, broken []Broken) error {
	e := &NotFoundError{Name: name, Version: version, Pinned: pinned, Broken: broken}
	pattern := version
	if pattern == "" {
		pattern = "*"
	}
	for _, platform := range platforms() {
		e.Tried = append(e.Tried, filepath.Join(c.dir, name+"-v"+pattern+"-"+platform, fileName(name)))
	}
	for _, other := range candidates {
		if !other.isWanted(version) {
			e.Installed = append(e.Installed, other.version.String())
		}
	}
	e.Installed = slices.Compact(e.Installed)
	return e
}
