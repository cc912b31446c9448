// Package catalog finds, verifies, installs and removes the workers that an administrator put on this machine.
//
// A catalog is a directory with one directory for each worker and version:
//
//	<catalog>/<name>-v<version>-<platform>/<name>
//	<catalog>/<name>-v<version>-<platform>/worker.json
//	<catalog>/pins.json
//
// The version is a full semantic version, or the name of a build such as b6795; the platform is linux, darwin (or macos) or
// windows, and behind it an architecture may stand, as Go names it or as x86_64 or aarch64: without one, the entry is for
// any. On Windows the program has the extension .exe. An entry may hold a [Manifest], which may name another program.
//
// Each look-up sees the disk as it is, so what was installed, removed or changed by whatever means is seen by the next: what
// is remembered of a directory or a file is remembered together with the kernel's stamp of its last change.
package catalog

import (
	"context"
	"fmt"
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
	dir       string
	now       func() time.Time
	user      int                     // Whose files are trusted, besides root's.
	last      atomic.Pointer[listing] // What the directory held when it was last read; nil when it must be read.
	good      sync.Map                // The stamp that the binary at a path bore when it was last found sound.
	manifests sync.Map                // What was read of the manifest at a path, as a readManifest.
	pinned    atomic.Pointer[pins]    // What pins.json held when it was last read; nil when it must be read.
	warmed    atomic.Pointer[listing] // What the directory held when all checksums were computed; nil when they were not.
	sums      sums
}

// Open returns the catalog in dir without looking at it: a dir that does not exist is an empty catalog.
func Open(dir string) *Catalog { return &Catalog{dir: dir, now: time.Now, user: os.Geteuid()} }

// Dir returns the directory of the catalog, as it was given to Open.
func (c *Catalog) Dir() string { return c.dir }

// Entry is a worker that was found sound: it can be started here.
type Entry struct {
	Name     string    // The name of the worker: "cpu-llm-worker-rbee".
	Version  string    // A semantic version without "v", or the name of a build.
	OS       string    // As in runtime.GOOS.
	Arch     string    // As in runtime.GOARCH; empty when the entry is for any architecture.
	Dir      string    // The entry's directory, below the catalog's as it was given to Open.
	Binary   string    // The path of the program.
	Manifest *Manifest // Nil when it has none: then the worker contract says how it is started.
}

// Broken is an entry that was skipped.
type Broken struct {
	Path string // The entry's directory.
	Err  error  // Why, on one line that names the entry; often a *binary.Error.
}

// Choice is the entry that a job gets.
type Choice struct {
	Entry
	// Why says why this one, as the end of a sentence about it.
	Why string
	// Program is the entry's program as it was verified, open. The caller closes it.
	Program *Program
}

// Find returns the entry of the worker called name for this platform. An empty version takes the one that is pinned (see
// [Catalog.Pin]) or, where none is, the highest that is no prerelease; any other takes exactly that version, which may be
// a prerelease. Of equal versions, an entry for this architecture comes before one for any. Checksums are not compared:
// that takes [Catalog.Choose].
//
// Entries that come first but are broken are skipped and returned beside the choice, so that the caller can warn of them.
// When no sound entry is left, the error is a [*NotFoundError]. Any other error means that the catalog could not be read
// or is not to be trusted, because others than its owner may write it; one for which [binary.Retryable] holds passes.
func (c *Catalog) Find(name, version string) (Entry, []Broken, error) {
	choice, broken, err := c.find(name, version, func(Entry) (*Program, error) { return nil, nil })
	return choice.Entry, broken, err
}

// Choose is [Catalog.Find] for an entry that is to be started: it verifies the program, its checksum included, and returns
// it open. One with another checksum than its manifest says is broken, with a [*ChecksumError]. A large program that was
// never looked at before takes as long as reading it, or until ctx ends, which is an error then.
func (c *Catalog) Choose(ctx context.Context, name, version string) (Choice, []Broken, error) {
	return c.find(name, version, func(entry Entry) (*Program, error) { return c.Verify(ctx, entry) })
}

// find returns the first candidate that can be loaded and that accept takes.
func (c *Catalog) find(name, version string, accept func(Entry) (*Program, error)) (Choice, []Broken, error) {
	all, err := c.read()
	if err != nil {
		return Choice{}, nil, err
	}
	wanted, pinned, err := c.wanted(name, version)
	if err != nil {
		return Choice{}, nil, err
	}
	var broken []Broken
	candidates := all.named(name)
	for _, candidate := range candidates {
		if !candidate.isWanted(wanted) {
			continue
		}
		entry, err := c.load(candidate)
		if err == nil {
			program, refused := accept(entry)
			if refused == nil {
				return Choice{Entry: entry, Why: why(candidates, version, pinned), Program: program}, broken, nil
			}
			err = refused
		}
		if passes(err) {
			return Choice{}, broken, err
		}
		broken = append(broken, Broken{Path: filepath.Join(c.dir, candidate.dir), Err: err})
	}
	if wanted == "" {
		broken = append(broken, c.unreadable(all, name)...)
	}
	return Choice{}, broken, c.notFound(name, wanted, pinned, candidates, broken)
}

// wanted returns the version that a look-up without one is to take, and whether that is because it is pinned.
func (c *Catalog) wanted(name, version string) (wanted string, pinned bool, err error) {
	if version != "" {
		return version, false, nil
	}
	pins, err := c.readPins()
	if err != nil {
		return "", false, err
	}
	wanted = pins[name]
	return wanted, wanted != "", nil
}

func why(candidates []candidate, version string, pinned bool) string {
	releases := 0
	for i, c := range candidates {
		if !c.version.prerelease() && (i == 0 || candidates[i-1].version.String() != c.version.String()) {
			releases++
		}
	}
	switch {
	case version != "":
		return "it is the version that was asked for"
	case pinned:
		return "it is the version that " + pinsName + " pins"
	case releases == 1:
		return "it is the only version"
	}
	return fmt.Sprintf("it is the highest of %d versions that can be started", releases)
}

// passes reports whether err says nothing about an entry: it could not be looked at now.
func passes(err error) bool {
	return binary.Retryable(err) || isEnd(err)
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
		case passes(err):
			return nil, nil, err
		default:
			broken = append(broken, Broken{Path: filepath.Join(c.dir, candidate.dir), Err: err})
		}
	}
	sortByPath(broken)
	return entries, broken, nil
}

// unreadable returns the directories whose names begin as entries of the worker called name (empty: of any) but tell no
// version.
func (c *Catalog) unreadable(all *listing, name string) []Broken {
	var broken []Broken
	for _, dir := range all.unreadable {
		if name == "" || strings.HasPrefix(dir, name+"-v") {
			path := filepath.Join(c.dir, dir)
			broken = append(broken, Broken{Path: path, Err: fmt.Errorf(
				"%q has no semantic version in its name: call it <name>-v<major>.<minor>.<patch>-%s", path, runtime.GOOS)})
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
