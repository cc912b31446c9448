package devtree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/BurntSushi/toml"
)

// cargoToml is what this package reads of a Cargo.toml. A dependency is any: a version, or a table.
type cargoToml struct {
	Package *struct {
		Name      any `toml:"name"`
		Build     any `toml:"build"`     // a path, or false
		Workspace any `toml:"workspace"` // where the root is, if not above
	} `toml:"package"`
	Lib  cargoTarget   `toml:"lib"`
	Bins []cargoTarget `toml:"bin"`
	dependencies
	Target    map[string]dependencies `toml:"target"`
	Workspace *struct {
		Members      []string       `toml:"members"`
		Exclude      []string       `toml:"exclude"`
		Dependencies map[string]any `toml:"dependencies"`
	} `toml:"workspace"`
	Patch map[string]map[string]any `toml:"patch"`
}

type cargoTarget struct {
	Name string `toml:"name"`
	Path string `toml:"path"`
}

// dependencies are those that get into a program. Those for development do not.
type dependencies struct {
	Normal     map[string]any `toml:"dependencies"`
	Build      map[string]any `toml:"build-dependencies"`
	BuildOlder map[string]any `toml:"build_dependencies"`
}

func (d dependencies) all() []map[string]any {
	return []map[string]any{d.Normal, d.Build, d.BuildOlder}
}

// crate is a directory with a Cargo.toml.
type crate struct {
	dir string
	cargoToml
}

// crates reads each Cargo.toml of one look once. Nothing is kept for the next look.
type crates map[string]*crate

// at returns the crate in dir. The error is fs.ErrNotExist if there is no Cargo.toml, and names the file else.
func (r crates) at(dir string) (*crate, error) {
	if c, ok := r[dir]; ok {
		return c, nil
	}
	path := filepath.Join(dir, manifest)
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &crate{dir: dir}
	if err := toml.Unmarshal(content, &c.cargoToml); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	r[dir] = c
	return c, nil
}

// rootOf returns the crate with the [workspace] that c belongs to; nil if there is none.
func (r crates) rootOf(c *crate) (*crate, error) {
	if c.Workspace != nil {
		return c, nil
	}
	if c.Package != nil {
		if up, ok := c.Package.Workspace.(string); ok {
			return r.at(filepath.Join(c.dir, up))
		}
	}
	for dir := filepath.Dir(c.dir); ; dir = filepath.Dir(dir) {
		above, err := r.at(dir)
		switch {
		case err == nil && above.Workspace != nil:
			return above, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		case dir == filepath.Dir(dir):
			return nil, nil
		}
	}
}

// closure returns the crates in dirs and all that they depend on by path, directly or not, and the directories that are named
// as dependencies and hold no crate.
func (r crates) closure(dirs ...string) (all []*crate, missing []string, err error) {
	seen := make(map[string]bool)
	for len(dirs) > 0 {
		dir := dirs[0]
		dirs = dirs[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		c, err := r.at(dir)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, dir)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, c)
		more, err := r.dependsOn(c)
		if err != nil {
			return nil, nil, err
		}
		dirs = append(dirs, more...)
	}
	return all, missing, nil
}

// dependsOn returns the directories of the crates that c names as dependencies by path.
func (r crates) dependsOn(c *crate) ([]string, error) {
	root, err := r.rootOf(c)
	if err != nil {
		return nil, err
	}
	tables := c.all()
	for _, target := range c.Target {
		tables = append(tables, target.all()...)
	}
	for _, patches := range c.Patch {
		tables = append(tables, patches)
	}
	var dirs []string
	for _, table := range tables {
		for name, dependency := range table {
			if dir, ok := pathIn(c.dir, dependency); ok {
				dirs = append(dirs, dir)
			} else if inherits(dependency) && root != nil && root.Workspace != nil {
				if dir, ok := pathIn(root.dir, root.Workspace.Dependencies[name]); ok {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	if root != nil {
		for _, patches := range root.Patch {
			for _, patch := range patches {
				if dir, ok := pathIn(root.dir, patch); ok {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	return dirs, nil
}

// pathIn returns the directory that a dependency named in dir points to, if it is one by path.
func pathIn(dir string, dependency any) (string, bool) {
	table, _ := dependency.(map[string]any)
	path, ok := table["path"].(string)
	if !ok || path == "" {
		return "", false
	}
	return under(dir, path), true
}

func inherits(dependency any) bool {
	table, _ := dependency.(map[string]any)
	yes, _ := table["workspace"].(bool)
	return yes
}

// under returns path as it is if it is absolute, and below dir else.
func under(dir, path string) string {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// members returns the directories of the workspace's members, its own among them if it is a package, too.
func (c *crate) members() ([]string, error) {
	var dirs []string
	if c.Package != nil {
		dirs = append(dirs, c.dir)
	}
	for _, pattern := range c.Workspace.Members {
		found, err := filepath.Glob(under(c.dir, pattern))
		if err != nil {
			return nil, fmt.Errorf("read %q: workspace.members: %q: %w", filepath.Join(c.dir, manifest), pattern, err)
		}
		for _, dir := range found {
			if isRegular(filepath.Join(dir, manifest)) && !c.excludes(dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), nil
}

func (c *crate) excludes(dir string) bool {
	return slices.ContainsFunc(c.Workspace.Exclude, func(exclude string) bool { return isBelow(under(c.dir, exclude), dir) })
}

// isBelow reports whether path is dir or below it.
func isBelow(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// makes reports whether the crate has a program of that name: one that it lists, one that Cargo finds by itself, or its own.
func (c *crate) makes(name string) bool {
	if slices.ContainsFunc(c.Bins, func(bin cargoTarget) bool { return bin.Name == name }) {
		return true
	}
	for _, main := range []string{name + ".rs", filepath.Join(name, "main.rs")} {
		if isRegular(filepath.Join(c.dir, "src", "bin", main)) {
			return true
		}
	}
	return c.Package != nil && c.Package.Name == name
}
