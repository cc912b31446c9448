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
}

// Error says which checksum was found instead, and what to do.
func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: has the checksum %s, and its %s says %s: it was changed since it was installed; install the version again",
		e.Path, e.Got, ManifestName, e.Want)
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
		err = c.compare(ctx, program, entry.Manifest.SHA256)
	}
	if err != nil {
		program.Close()
		return nil, err
	}
	return program, nil
}

func (c *Catalog) compare(ctx context.Context, program *Program, want string) error {
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
	if got != want {
		return &ChecksumError{Path: program.Path, Want: want, Got: got}
	}
	return nil
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
