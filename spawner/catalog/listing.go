package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// How long a file or a directory must have been left alone before what was read of it is kept. Until then, a change might
// bear the same time as the one before it. The clocks of file systems that write down parts of a second tick a hundred times
// a second or more often, and lag a little on a busy machine; those of the others tick every two seconds at worst.
const (
	settled       = 200 * time.Millisecond
	settledCoarse = 3 * time.Second
)

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
	if err := cmp.Or(binary.CheckPrivate(c.dir, info.Mode()), binary.CheckOwner(c.dir, info, c.user)); err != nil {
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

// stamp identifies a file or a directory and the last change of it. The zero stamp identifies none: nothing is kept under it.
type stamp struct {
	device, inode uint64
	size          int64
	modified      int64 // Nanoseconds; anyone can set it to what it was.
	changed       int64 // Nanoseconds; the kernel alone sets it.
}

// isSettled reports whether no later change can bear this stamp.
func (s stamp) isSettled(now time.Time) bool {
	return s != stamp{} && s.unsettled(now) <= 0
}

// unsettled returns how long it takes until a change must bear another stamp; 0 or less is no time at all.
func (s stamp) unsettled(now time.Time) time.Duration {
	least := settled
	if s.changed%int64(time.Second) == 0 {
		least = settledCoarse
	}
	return least - time.Duration(now.UnixNano()-s.changed)
}
