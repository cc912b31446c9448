package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// settled is how long a directory must have been left alone before a listing of it is kept. Until then, a change might
// bear the same time as the one before it: the clocks of file systems tick every few milliseconds, on some every two
// seconds.
const settled = 3 * time.Second

// listing is what the names in the catalog's directory say. It is not changed once it is made.
type listing struct {
	stamp      stamp
	candidates []candidate // Those for this platform, in the order of compare.
	unreadable []string    // Directories that look like entries for this platform but tell no version, sorted.
}

// named returns the candidates of one name.
func (l *listing) named(name string) []candidate {
	first, _ := slices.BinarySearchFunc(l.candidates, name, func(c candidate, name string) int {
		return strings.Compare(c.name, name)
	})
	end := first
	for end < len(l.candidates) && l.candidates[end].name == name {
		end++
	}
	return l.candidates[first:end]
}

// read returns the names in the catalog's directory. They are read again only when the directory bears the stamp of another
// change: that costs one system call instead of four and the parsing of all names. The entries themselves are looked at
// each time.
func (c *Catalog) read() (*listing, error) {
	now := c.now()
	info, err := os.Stat(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return new(listing), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("read catalog: %q is not a directory", c.dir)
	}
	if err := binary.CheckPrivate(c.dir, info.Mode()); err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	current := stampOf(info)
	if kept := c.last.Load(); kept != nil && kept.stamp == current {
		return kept, nil
	}
	fresh, err := readNames(c.dir)
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	if fresh.stamp = current; current.isSettled(now) {
		c.last.Store(fresh)
	}
	return fresh, nil
}

func readNames(path string) (*listing, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	all := new(listing)
	for _, name := range names {
		found, ours := parse(name)
		switch {
		case !ours:
		case found.version == nil:
			all.unreadable = append(all.unreadable, name)
		default:
			all.candidates = append(all.candidates, found)
		}
	}
	slices.SortFunc(all.candidates, compare)
	slices.Sort(all.unreadable)
	return all, nil
}

// stamp identifies a directory and the last change of it. The zero stamp identifies none: nothing is kept under it.
type stamp struct {
	device, inode uint64
	modified      int64 // Nanoseconds; anyone can set it to what it was.
	changed       int64 // Nanoseconds; the kernel alone sets it.
}

// isSettled reports whether no later change of the directory can bear this stamp.
func (s stamp) isSettled(now time.Time) bool {
	return s != stamp{} && now.UnixNano()-max(s.modified, s.changed) > int64(settled)
}
