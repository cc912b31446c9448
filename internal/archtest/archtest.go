// Package archtest checks that every package of this module imports only what its room may.
//
// [Rooms] is the table; docs/architecture.md tells the same table to people, and the test compares the two. A rule
// that is in the way is a question about the design: answer it in both places, in a change of its own.
package archtest

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Module is the import path of the module that is checked.
const Module = "github.com/rbee-keeper/hive"

// Package is one package of the module and what its files, tests left out, import on any system.
type Package struct {
	// Path is the package's path below [Module].
	Path string
	// Imports lists the import paths, sorted.
	Imports []string
}

// Check compares packages with rooms and returns one line for each import that the table does not allow, each package
// without a row and each row without a package.
func Check(rooms map[string][]string, packages []Package) []string {
	var faults []string
	seen := map[string]bool{}
	for _, pkg := range packages {
		seen[pkg.Path] = true
		may, ok := rooms[pkg.Path]
		if !ok {
			faults = append(faults, fmt.Sprintf("%s has no row: add it to the rooms of docs/architecture.md and of internal/archtest/rooms.go", pkg.Path))
			continue
		}
		for _, imported := range pkg.Imports {
			if !allowed(may, imported) {
				faults = append(faults, fmt.Sprintf("%s may not import %s: it may import %s", pkg.Path, imported, strings.Join(may, ", ")))
			}
		}
	}
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		if !seen[room] {
			faults = append(faults, fmt.Sprintf("%s has a row but no Go file: remove it from docs/architecture.md and from internal/archtest/rooms.go", room))
		}
	}
	return faults
}

// CheckReach returns one line for each of a command's dependencies, direct or not, that [Unreachable] forbids it.
func CheckReach(unreachable map[string][]string, command string, deps []string) []string {
	var faults []string
	for _, forbidden := range slices.Sorted(maps.Keys(unreachable)) {
		if slices.Contains(unreachable[forbidden], command) {
			continue
		}
		for _, dep := range deps {
			if below(forbidden, dep) {
				faults = append(faults, fmt.Sprintf("%s may not depend on %s (go list -deps ./%s): move what needs it out of its reach", command, dep, command))
			}
		}
	}
	return faults
}

// allowed reports whether one of the rules covers an import.
func allowed(rules []string, imported string) bool {
	room, ours := strings.CutPrefix(imported, Module+"/")
	return slices.ContainsFunc(rules, func(rule string) bool {
		parent, tree := strings.CutSuffix(rule, "/...")
		switch {
		case rule == "*":
			return true
		case rule == "std":
			return standard(imported)
		case ours:
			return rule == room || tree && below(parent, room)
		}
		return below(rule, imported)
	})
}

// standard reports whether an import path belongs to the standard library: only there does the first element have no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// below reports whether an import path is parent or a package inside it.
func below(parent, imported string) bool {
	return imported == parent || strings.HasPrefix(imported, parent+"/")
}

var majorVersion = regexp.MustCompile(`/v[0-9]+$`)

// short returns a rule as docs/architecture.md writes it: "semver" for "github.com/Masterminds/semver/v3", "x/sys" for
// "golang.org/x/sys", our own rooms as they are.
func short(rule string) string {
	if rest, ok := strings.CutPrefix(rule, "golang.org/"); ok {
		return rest
	}
	if standard(rule) {
		return rule
	}
	return path.Base(majorVersion.ReplaceAllString(rule, ""))
}
