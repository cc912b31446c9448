package catalog

import (
	"cmp"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// candidate is what the name of a directory says about the entry in it.
type candidate struct {
	dir     string // The name itself.
	name    string
	version *release
	os      string
	arch    string // Empty: any.
}

// isWanted reports whether a look-up of version may choose c.
func (c candidate) isWanted(version string) bool {
	if version == "" {
		return !c.version.prerelease()
	}
	return c.version.String() == version
}

// compare orders candidates by name, and those of one name from the one to be chosen first to the one to be chosen last.
// No two directories are equal, so the order does not depend on how the file system lists them.
func compare(a, b candidate) int {
	return cmp.Or(
		strings.Compare(a.name, b.name),
		compareReleases(b.version, a.version),
		strings.Compare(b.arch, a.arch), // This architecture before none.
		strings.Compare(a.dir, b.dir),
	)
}

// parse reads the name of a directory, <binary>-v<version>-<os>[-<arch>]. Ours is whether it is one for this platform; when
// it is, the version is nil if the rest of the name cannot be read.
//
// A binary's name may hold "-v" and a prerelease may hold "-", so the name is cut at the last -v that leaves a semantic
// version behind it or, where none does, at the last that leaves the name of a build.
func parse(dir string) (found candidate, ours bool) {
	if strings.HasPrefix(dir, ".") {
		return found, false
	}
	rest, system, arch := cutPlatform(dir)
	if system != runtime.GOOS || (arch != "" && arch != runtime.GOARCH) {
		return found, false
	}
	found = candidate{dir: dir, os: system, arch: arch}
	var build candidate
	for end := len(rest); ; {
		at := strings.LastIndex(rest[:end], "-v")
		if at <= 0 {
			break
		}
		if version, err := parseRelease(rest[at+len("-v"):]); err == nil {
			cut := candidate{dir: dir, name: rest[:at], version: version, os: system, arch: arch}
			if version.semver != nil {
				return cut, true
			}
			if build.version == nil {
				build = cut
			}
		}
		end = at
	}
	if build.version != nil {
		return build, true
	}
	return found, strings.Contains(rest, "-v")
}

// ParseDir reads the name and the version of a worker from the path of an entry's directory, and reports false if they
// cannot be read or the entry is for another platform.
func ParseDir(path string) (name, version string, ok bool) {
	found, ours := parse(filepath.Base(path))
	if !ours || found.version == nil {
		return "", "", false
	}
	return found.name, found.version.String(), true
}

// cutPlatform cuts the platform off the name of a directory and returns it as Go names it; system is empty when the name
// ends in none, and arch when it names no architecture.
func cutPlatform(dir string) (rest, system, arch string) {
	rest, last := cutLast(dir)
	if arch = goArch(last); arch != "" {
		rest, last = cutLast(rest)
	}
	switch last {
	case "linux", "darwin", "windows":
		return rest, last, arch
	case "macos":
		return rest, "darwin", arch
	}
	return dir, "", ""
}

func cutLast(s string) (before, after string) {
	if at := strings.LastIndexByte(s, '-'); at >= 0 {
		return s[:at], s[at+1:]
	}
	return "", s
}

// goArch returns the name that Go has for an architecture, or "" when word names none.
func goArch(word string) string {
	switch word {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "386", "amd64", "arm", "arm64", "loong64", "ppc64le", "riscv64", "s390x":
		return word
	}
	return ""
}

// platforms returns the spellings of this platform in the names of directories, to show them.
func platforms() []string {
	systems := []string{runtime.GOOS}
	if runtime.GOOS == "darwin" {
		systems = append(systems, "macos")
	}
	var all []string
	for _, system := range systems {
		all = append(all, system+"-"+runtime.GOARCH, system)
	}
	return all
}

func sortByPath(broken []Broken) {
	slices.SortFunc(broken, func(a, b Broken) int { return strings.Compare(a.Path, b.Path) })
}
