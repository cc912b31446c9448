package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rbee-keeper/hive/spawner/binary"
)

// Program is the program of an entry as it was verified: an open file, so that what is started can be what was verified.
type Program struct {
	// Path is where the file was found.
	Path string
	// File is the file, open for reading.
	File *os.File
	// Script says that it is read by an interpreter, which opens the path and not this file.
	Script bool

	stamp stamp
}

// ChecksumError says that a program is not the one that was installed.
type ChecksumError struct {
	Path string // The program.
	Want string // The checksum in the manifest.
	Got  string // The checksum of the program.

	advice string // What to do; empty if the program is not installed yet.
}

// Error says which checksum was found instead, and what to do.
func (e *ChecksumError) Error() string {
	text := fmt.Sprintf("%s: has the checksum %s, and its %s says %s: ", e.Path, e.Got, ManifestName, e.Want)
	if e.advice == "" {
		return text + "it is another program, or was changed; get it again, or leave sha256 out"
	}
	return text + "it was changed since it was installed; " + e.advice
}

// Verify opens the program of an entry and checks the open file: type, mode, owner, format and, where the manifest says
// one, its checksum, which is computed once for each state of a file. It reads the file through the descriptor that it
// returns. The caller closes the program.
func (c *Catalog) Verify(ctx context.Context, entry Entry) (*Program, error) {
	opened, err := binary.Open(entry.Binary)
	if err != nil {
		return nil, err
	}
	program := &Program{Path: entry.Binary, File: opened.File, Script: opened.Script, stamp: stampOf(opened.Info)}
	err = binary.CheckOwner(entry.Binary, opened.Info, c.user)
	if err == nil && entry.Manifest != nil && entry.Manifest.SHA256 != "" {
		err = c.compare(ctx, program, entry)
	}
	if err != nil {
		program.Close()
		return nil, err
	}
	return program, nil
}

func (c *Catalog) compare(ctx context.Context, program *Program, entry Entry) error {
	got, err := c.sums.of(ctx, program.File, program.stamp, c.now)
	for tries := 0; tries < 3 && errors.Is(err, binary.Busy); tries++ {
		info, statErr := program.File.Stat() // a link that is made or removed is a change, too
		if statErr != nil {
			return statErr
		}
		program.stamp = stampOf(info)
		got, err = c.sums.of(ctx, program.File, program.stamp, c.now)
	}
	if err != nil {
		return fmt.Errorf("compute the checksum of %s: %w", program.Path, err)
	}
	return c.judge(entry, got)
}

// judge returns an error if the checksum is not that of the entry's program.
func (c *Catalog) judge(entry Entry, got string) error {
	if want := entry.Manifest.SHA256; got != want {
		return &ChecksumError{Path: entry.Binary, Want: want, Got: got, advice: c.reinstall(entry)}
	}
	return nil
}

// Changed returns a [*ChecksumError] if the checksum of the entry's program was computed before, as a start does, and is not the one that
// its manifest says. It computes none: nil says that it is right, or not known.
func (c *Catalog) Changed(entry Entry) error {
	if entry.Manifest == nil || entry.Manifest.SHA256 == "" {
		return nil
	}
	if info, err := os.Stat(entry.Binary); err == nil {
		if got, known := c.sums.lookUp(stampOf(info)); known {
			return c.judge(entry, got)
		}
	}
	return nil
}

// Expect is [Catalog.Find] without the entries that are known to be [Catalog.Changed].
func (c *Catalog) Expect(name, version string) (Entry, []Broken, error) {
	choice, broken, err := c.find(name, version, func(entry Entry) (*Program, error) { return nil, c.Changed(entry) })
	return choice.Entry, broken, err
}

// Replaced returns an error if another file lies at the program's path by now, or if the file was written to since it was
// verified. Asked after a start that went by the path, it tells whether something else was started; where the system tells
// no time of a file's last change, it never does.
func (p *Program) Replaced() error {
	info, err := os.Stat(p.Path)
	if err == nil && stampOf(info) == p.stamp {
		return nil
	}
	return replaced(p.Path)
}

// Close closes the file. A nil program has none.
func (p *Program) Close() {
	if p != nil {
		_ = p.File.Close()
	}
}

// Warm computes the checksums that later starts compare, of entries that nobody has started yet, one after the other. It
// returns when it is done or ctx ends, and at once when the catalog holds what it held the last time.
func (c *Catalog) Warm(ctx context.Context) {
	all, err := c.read()
	if err != nil || c.warmed.Load() == all {
		return
	}
	defer func() {
		if ctx.Err() == nil {
			c.warmed.Store(all)
		}
	}()
	entries, _, err := c.List()
	if err != nil {
		return // whoever looks for a worker is told
	}
	for _, entry := range entries {
		if entry.Manifest == nil || entry.Manifest.SHA256 == "" || ctx.Err() != nil {
			continue
		}
		if program, err := c.Verify(ctx, entry); err == nil {
			program.Close()
		}
	}
}

// isEnd reports whether err is that of a context that ended.
func isEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
