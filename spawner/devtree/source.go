package devtree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// ErrNoSource is the error of [Updater.Update] for a program whose source is nowhere.
var ErrNoSource = errors.New("no source")

// source is what a program is made from, and how.
type source struct {
	name   string
	dir    string        // of the crate, or of the worker.json
	root   string        // of the Cargo workspace; the crate itself if it is in none; dir where no Cargo builds it
	recipe *recipe       // how worker.json says that it is built; nil for a crate
	read   crates        // what was read of the crates on the way
	opts   *buildOptions // of the updater
}

// sourceOf finds the source of a program: where the options say, else in bin/30_<name with underscores> or a directory of its
// name below the root, else in the member of the root's workspace that makes a program of that name.
func sourceOf(opts *buildOptions, name string) (*source, error) {
	if !isFileName(name) {
		return nil, fmt.Errorf("%w of %q: that is not the name of a program", ErrNoSource, name)
	}
	if dir := opts.sources[name]; dir != "" {
		s, err := sourceIn(opts, name, dir)
		if errors.Is(err, ErrNoSource) {
			return nil, fmt.Errorf("the source of %s, %s, holds neither a Cargo.toml nor a %s with a build command", name, dir, recipeFile)
		}
		return s, err
	}
	if opts.root == "" {
		return nil, fmt.Errorf("%w of %s: there is no development tree", ErrNoSource, name)
	}
	for _, dir := range []string{filepath.Join("bin", "30_"+strings.ReplaceAll(name, "-", "_")), name} {
		s, err := sourceIn(opts, name, filepath.Join(opts.root, dir))
		if !errors.Is(err, ErrNoSource) {
			return s, err
		}
	}
	return memberOf(opts, name)
}

// sourceIn returns the source in dir. The error is [ErrNoSource] if nothing there says how to build it.
func sourceIn(opts *buildOptions, name, dir string) (*source, error) {
	s := &source{name: name, dir: dir, root: dir, opts: opts, read: make(crates)}
	made, err := readRecipe(dir, name)
	if err != nil {
		return nil, err
	}
	if made != nil {
		s.recipe = made
		return s, checkOwn(dir, filepath.Join(dir, recipeFile))
	}
	if !isRegular(filepath.Join(dir, manifest)) {
		return nil, fmt.Errorf("%w of %s in %s", ErrNoSource, name, dir)
	}
	c, broken := s.read.at(dir)
	if broken != nil { // Cargo says best what is wrong with it
		return s, checkOwn(dir, filepath.Join(dir, manifest))
	}
	if c.Workspace != nil && !c.makes(name) {
		return s.member(c)
	}
	return s.of(c)
}

// memberOf returns the source of a program in the workspace at the root of the development tree.
func memberOf(opts *buildOptions, name string) (*source, error) {
	s := &source{name: name, root: opts.root, opts: opts, read: make(crates)}
	root, err := s.read.at(opts.root)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && root.Workspace == nil:
		return nil, fmt.Errorf("%w of %s below %s", ErrNoSource, name, opts.root)
	case err != nil:
		return nil, err
	}
	return s.member(root)
}

// member looks for the crate that makes the program among the members of a workspace, which may be there for no other reason
// than that another member depends on them.
func (s *source) member(root *crate) (*source, error) {
	dirs, err := root.members()
	if err != nil {
		return nil, err
	}
	all, _, err := s.read.closure(dirs...)
	if err != nil {
		return nil, err
	}
	var found []*crate
	for _, c := range all {
		if isBelow(root.dir, c.dir) && c.makes(s.name) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w of %s: no crate of the workspace %s makes it", ErrNoSource, s.name, root.dir)
	case 1:
		return s.of(found[0])
	}
	return nil, fmt.Errorf("%s and %s both make %s: say which one with --dev-source %s=DIRECTORY", found[0].dir, found[1].dir, s.name, s.name)
}

// of makes c the source.
func (s *source) of(c *crate) (*source, error) {
	s.dir, s.root = c.dir, c.dir
	if root, err := s.read.rootOf(c); err == nil && root != nil {
		s.root = root.dir
	}
	return s, checkOwn(c.dir, filepath.Join(c.dir, manifest))
}

// checkOwn returns an error if everyone may write one of the paths: who does decides what is run here.
func checkOwn(paths ...string) error {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0 {
			return fmt.Errorf("%s can be written by everyone (mode %04o), who could change what is built: run chmod o-w on it", path, info.Mode().Perm())
		}
	}
	return nil
}

// find returns the built program and its profile. Where there is none that can be started, it returns where the next build
// puts it, and the reason.
func (s *source) find() (path, profile string, err error) {
	if s.recipe != nil {
		path := filepath.Join(s.dir, s.recipe.binary)
		return path, profiles()[0], binary.CheckBuilt(path)
	}
	path, profile, tried, err := Find(s.root, s.name)
	if err != nil && len(tried) > 0 {
		return tried[0], profiles()[0], err
	}
	return path, profile, err
}

// command returns the build command, and the directory that it runs in.
func (s *source) command(profile string) (args []string, dir string) {
	if s.recipe != nil {
		return s.recipe.build, s.dir
	}
	args = []string{
		"cargo", "build", "--manifest-path", filepath.Join(s.dir, manifest), "--bin", s.name,
		"--target-dir", filepath.Join(s.root, "target"),
	}
	if profile == "release" {
		args = append(args, "--release")
	}
	if len(s.opts.features) > 0 {
		args = append(args, "--features", strings.Join(s.opts.features, ","))
	}
	return args, s.root
}

// state returns the directory of what is kept of builds: the lock, the log and the stamp. No build of the sources looks there.
func (s *source) state() string {
	if s.recipe != nil {
		return filepath.Join(s.dir, stateDir)
	}
	return filepath.Join(s.root, "target", stateDir)
}

const stateDir = ".rbee"

// show returns a path as a person who works on the source would name it.
func (s *source) show(path string) string {
	if rel, err := filepath.Rel(s.root, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
