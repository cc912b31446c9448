package devtree

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mostInputs bounds what is looked at for one program. Beyond it, something else than a source is meant.
const mostInputs = 100_000

// identity tells one version of a file from every other, without reading it. The zero identity is that of a file that is
// missing.
type identity struct {
	size     int64
	inode    uint64
	modified int64 // nanoseconds, as anyone may set it
	changed  int64 // nanoseconds, as the system sets it; 0 where it does not tell
}

// last returns when the file was changed last.
func (id identity) last() int64 { return max(id.modified, id.changed) }

// input is a file that a program is made from.
type input struct {
	path string
	identity
}

// inputs looks at every file that the program is made from, and returns them in the order of their paths. Broken is a
// Cargo.toml that cannot be read, so that what it depends on is not known.
func (s *source) inputs(profile string) (all []input, broken, err error) {
	c := collector{found: make(map[string]identity), trees: make(map[string]bool)}
	if s.recipe != nil {
		s.recipe.collect(&c, s.dir)
	} else if broken, err = s.collect(&c, profile); err != nil {
		return nil, nil, err
	}
	if c.err != nil {
		return nil, nil, c.err
	}
	all = make([]input, 0, len(c.found))
	for path, id := range c.found {
		all = append(all, input{path, id})
	}
	slices.SortFunc(all, func(a, b input) int { return strings.Compare(a.path, b.path) })
	return all, broken, nil
}

// collect takes the crate, all its path dependencies, the workspace's own files, and what Cargo says that the last build read.
func (s *source) collect(c *collector, profile string) (broken, err error) {
	read := make(crates) // what was read to find the source may have changed since
	all, missing, broken := read.closure(s.dir)
	if broken != nil {
		all = []*crate{{dir: s.dir}}
	}
	for _, dir := range missing {
		c.file(filepath.Join(dir, manifest))
	}
	roots := map[string]bool{s.root: true}
	for _, crate := range all {
		c.crate(crate)
		if root, err := read.rootOf(crate); err == nil && root != nil {
			roots[root.dir] = true // a dependency may be inherited from it
		}
	}
	for root := range roots {
		c.file(filepath.Join(root, manifest))
	}
	for _, dir := range []string{s.root, s.dir} {
		c.file(filepath.Join(dir, "Cargo.lock"))
	}
	for _, path := range configs(s.root, s.opts.cargoHome) {
		c.file(path)
	}
	sources, err := depInfo(filepath.Join(s.root, "target", profile, fileName(s.name)), s.root)
	if err != nil {
		return nil, err
	}
	for _, path := range sources {
		c.file(path)
	}
	return broken, nil
}

// collect takes the files that worker.json lists, or all below its directory. What the build makes is none of them.
func (r *recipe) collect(c *collector, dir string) {
	c.file(filepath.Join(dir, recipeFile))
	made := filepath.Join(dir, r.binary)
	c.ignored = []string{made}
	if parent := filepath.Dir(made); parent != dir {
		c.ignored = append(c.ignored, parent)
	}
	if len(r.sources) == 0 {
		c.tree(dir, dir, false)
	}
	for _, path := range r.sources {
		c.file(path)
	}
}

// collector gathers files.
type collector struct {
	found   map[string]identity
	trees   map[string]bool // directories that were walked
	ignored []string
	err     error
}

// file takes one file, which may be missing; of a directory all that is below.
func (c *collector) file(path string) {
	if _, ok := c.found[path]; ok {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		c.add(path, identity{})
	case info.IsDir():
		c.tree(path, path, false)
	default:
		c.add(path, identityOf(info))
	}
}

func (c *collector) add(path string, id identity) {
	c.found[path] = id
	if len(c.found) > mostInputs && c.err == nil {
		c.err = fmt.Errorf("more than %d files are sources: name those that count, or move what is none out of the source's directory", mostInputs)
	}
}

// crate takes all files of a crate. A directory with a Cargo.toml of its own is another one.
func (c *collector) crate(of *crate) {
	c.tree(of.dir, of.dir, true)
	c.file(filepath.Join(of.dir, manifest))
	targets := append([]cargoTarget{of.Lib}, of.Bins...)
	if of.Package != nil {
		script, _ := of.Package.Build.(string)
		targets = append(targets, cargoTarget{Path: script})
	}
	for _, target := range targets {
		if target.Path != "" {
			c.file(under(of.dir, target.Path))
		}
	}
}

// tree takes the files below dir, which is top or below it. Of a crate it leaves out what belongs to another below it.
func (c *collector) tree(dir, top string, crate bool) {
	if c.trees[dir] || c.err != nil || slices.Contains(c.ignored, dir) {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.add(dir, identity{})
		return
	}
	if crate && dir != top && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == manifest }) {
		return
	}
	c.trees[dir] = true
	for _, entry := range entries {
		c.entry(filepath.Join(dir, entry.Name()), top, crate, entry)
	}
}

func (c *collector) entry(path, top string, crate bool, entry fs.DirEntry) {
	name := entry.Name()
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || slices.Contains(c.ignored, path) {
		return
	}
	link := entry.Type()&fs.ModeSymlink != 0
	info, err := entry.Info()
	if link {
		info, err = os.Stat(path)
	}
	switch {
	case err != nil:
		c.add(path, identity{})
	case !info.IsDir():
		c.add(path, identityOf(info))
	case name == "node_modules" || name == "target" && isOutput(path, top):
	case link && !c.follow(path):
	default:
		c.tree(path, top, crate)
	}
}

// follow reports whether a link to a directory leads to one that was not walked, and notes it: links may lead in a circle.
func (c *collector) follow(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || isBelow(real, path) || c.trees[real] {
		return false
	}
	c.trees[real] = true
	return true
}

// isOutput tells a directory that Cargo builds into from a module of that name.
func isOutput(path, top string) bool {
	return filepath.Dir(path) == top || isRegular(filepath.Join(path, "CACHEDIR.TAG"))
}

// settled reports whether no later version of a file that was changed then can have the same identity. A time to come does
// not tick.
func settled(changed int64, now time.Time) bool {
	age, tick := now.Sub(time.Unix(0, changed)), tickOf(changed)
	return age > tick || age < -tick
}

// tickOf returns how long two changes may bear the same time: the clock of a file system ticks every few milliseconds, or every
// second, and then there are no nanoseconds.
func tickOf(changed int64) time.Duration {
	if changed%int64(time.Second) == 0 {
		return time.Second
	}
	return 50 * time.Millisecond
}
