package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// names are the names that a worker can be installed under: each is one part of a path.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// What an installation lacks.
var (
	errNoName    = fmt.Errorf("want a name: give --name, or write it into its %s", ManifestName)
	errNoVersion = fmt.Errorf("want a semantic version or a build's name: give --version, or write it into its %s", ManifestName)
	errNeither   = fmt.Errorf("want a name and a version: give --name and --version, or write them into its %s", ManifestName)
)

var errName = errors.New("want a name of 1 to 64 letters, digits, dots, dashes and underscores that begins with one of the first two")

// Addition is a worker to be installed.
type Addition struct {
	// From is what is copied: a program, a directory that holds one (and whatever it needs, and a manifest if there is one),
	// or a manifest alone, whose program was installed elsewhere.
	From string
	// Name and Version are what it is installed as; empty means what its manifest says.
	Name, Version string
	// AnyArch installs it for every architecture of this system: a script.
	AnyArch bool
}

// String says what is to be done, as far as it is known.
func (a Addition) String() string {
	if a.Name == "" || a.Version == "" {
		return fmt.Sprintf("install %q", a.From)
	}
	return fmt.Sprintf("install %q version %q", a.Name, a.Version)
}

// Names of what is being installed or removed: an entry appears and goes by one rename.
const (
	installing = ".install-"
	removing   = ".remove-"
)

// Install is [Catalog.Add] for a program alone, for this architecture.
func (c *Catalog) Install(name, version, from string) (Entry, error) {
	err := checkSource(from)
	if _, refused := plan(Addition{Name: name, Version: version}); refused != nil {
		err = refused
	}
	if err != nil {
		return Entry{}, fmt.Errorf("install %q version %q: %w", name, version, err)
	}
	return c.Add(context.Background(), Addition{Name: name, Version: version, From: from})
}

// Add copies a worker into the catalog and returns its entry. Either the whole entry appears, on disk for good, or none
// does: it is made under a hidden name in the catalog, which is created if need be, and renamed. The checksum of a program
// in it is written into its manifest, which is made if there is none.
//
// The error wraps [ErrExists] when the version is installed, and a [*binary.Error] when the program cannot be started here
// (its mode does not matter where From is a program: the copy's is 0755). A name or version that no entry can have is
// refused, and so is a manifest with a mistake in it, by a [*SyntaxError].
func (c *Catalog) Add(ctx context.Context, what Addition) (Entry, error) {
	entry, err := c.add(ctx, &what)
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", what, err)
	}
	return entry, nil
}

func (c *Catalog) add(ctx context.Context, what *Addition) (Entry, error) {
	manifest, err := sourceManifest(what)
	if err != nil {
		return Entry{}, err
	}
	target, err := plan(*what)
	if err != nil {
		return Entry{}, err
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return Entry{}, err
	}
	if err := c.checkFree(target); err != nil {
		return Entry{}, err
	}
	c.sweep()
	temporary, err := os.MkdirTemp(c.dir, installing+"*")
	if err != nil {
		return Entry{}, err
	}
	defer os.RemoveAll(temporary)     // After the rename, there is none of that name.
	unlock, err := tryLock(temporary) // As long as it is held, nobody sweeps it out.
	if err != nil {
		return Entry{}, err
	}
	defer unlock()
	if err := c.fill(ctx, temporary, target, what.From, manifest); err != nil {
		return Entry{}, named(err, temporary, what.From)
	}
	return c.appear(temporary, target)
}

// sourceManifest returns the manifest of what is to be installed, and fills in the name and version that it says. It is
// empty if there is none.
func sourceManifest(what *Addition) (*Manifest, error) {
	path, manifest := what.From, new(Manifest)
	info, err := os.Stat(path)
	if err != nil {
		return nil, cmp.Or(checkSource(path), err)
	}
	if info.IsDir() {
		path = filepath.Join(path, ManifestName)
	}
	if !info.IsDir() && filepath.Base(path) != ManifestName && filepath.Ext(path) == ".json" {
		return nil, fmt.Errorf("%s: is no program; a manifest is called %s: rename it, or install the directory that it lies in", path, ManifestName)
	}
	if filepath.Base(path) == ManifestName {
		manifest, err = ReadManifest(path)
		if errors.Is(err, fs.ErrNotExist) {
			manifest, err = new(Manifest), nil
		}
		if err != nil {
			return nil, err
		}
	}
	for _, field := range []struct {
		name           string
		asked, written *string
	}{{"name", &what.Name, &manifest.Name}, {"version", &what.Version, &manifest.Version}} {
		if *field.asked == "" {
			*field.asked = *field.written
		}
		if *field.written != "" && *field.written != *field.asked {
			return nil, fmt.Errorf("%s: %s: is %s; leave the field out to install it as %s", path, field.name, *field.written, *field.asked)
		}
		*field.written = *field.asked
	}
	return manifest, nil
}

// plan returns the candidate that the entry's directory is to be read as.
func plan(what Addition) (candidate, error) {
	dir := fmt.Sprintf("%s-v%s-%s", what.Name, what.Version, runtime.GOOS)
	if !what.AnyArch {
		dir += "-" + runtime.GOARCH
	}
	found, ours := parse(dir)
	switch {
	case what.Name == "" && what.Version == "":
		return found, errNeither
	case what.Name == "":
		return found, errNoName
	case what.Version == "":
		return found, errNoVersion
	case !names.MatchString(what.Name):
		return found, errName
	case !ours || found.version == nil || found.version.String() != what.Version || found.name != what.Name:
		return found, errVersion
	}
	return found, nil
}

// checkSource refuses what can never be an entry before anything is copied.
func checkSource(from string) error {
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return &binary.Error{Path: from, Cause: binary.Missing, Reason: "there is no such file", Err: err}
	}
	err := binary.Check(from)
	if errors.Is(err, binary.Writable) || errors.Is(err, binary.NotExecutable) {
		return nil // The copy is not; it is checked again.
	}
	return err
}

// checkFree refuses a target that is there, under whatever spelling of the platform.
func (c *Catalog) checkFree(target candidate) error {
	all, err := c.read()
	if err != nil {
		return err
	}
	for _, other := range all.named(target.name) {
		if other.arch == target.arch && other.version.String() == target.version.String() {
			return ErrExists
		}
	}
	return nil
}

// fill makes the whole content of an entry in dir, and checks it as it will be checked when it is in its place.
func (c *Catalog) fill(ctx context.Context, dir string, target candidate, from string, manifest *Manifest) error {
	if err := copyInto(ctx, dir, from, fileName(target.name)); err != nil {
		return err
	}
	entry := Entry{Dir: dir, Binary: filepath.Join(dir, fileName(target.name))}
	if manifest.Binary != "" {
		entry.Binary = within(dir, manifest.Binary)
	}
	if !filepath.IsAbs(manifest.Binary) { // another program's updates are not this catalog's business
		if err := binary.Check(entry.Binary); err != nil {
			if errors.Is(err, binary.Missing) && manifest.Binary == "" {
				return fmt.Errorf("%w; or name the program in its %s, as binary", err, ManifestName)
			}
			return err
		}
		sum, err := sumOf(ctx, entry.Binary)
		if err != nil {
			return err
		}
		if manifest.SHA256 != "" && manifest.SHA256 != sum {
			return &ChecksumError{Path: entry.Binary, Want: manifest.SHA256, Got: sum}
		}
		manifest.SHA256 = sum
	}
	data, err := json.MarshalIndent(manifest, "", "  ")
	if err == nil {
		err = writeWhole(filepath.Join(dir, ManifestName), append(data, '\n'))
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return err
	}
	target.dir = filepath.Base(dir)
	_, err = c.load(target)
	return err
}

// appear gives an entry its name.
func (c *Catalog) appear(temporary string, target candidate) (Entry, error) {
	unlock, err := lockDir(c.dir)
	if err != nil {
		return Entry{}, err
	}
	defer unlock()
	if err := c.checkFree(target); err != nil { // somebody else was faster
		return Entry{}, err
	}
	if err := os.Rename(temporary, filepath.Join(c.dir, target.dir)); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return Entry{}, ErrExists
		}
		return Entry{}, err
	}
	if err := syncDir(c.dir); err != nil {
		return Entry{}, err
	}
	return c.load(target)
}
