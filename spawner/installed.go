package spawner

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// entriesPage is how many entries of the catalog a page has at most. Whoever sends it makes it smaller where the server
// takes less.
const entriesPage = 500

// Catalog returns a page of the workers that are installed, sound or not. No checksum is computed for it: a program that was changed is
// told if a job met it before. The errors are
// [messages.BinaryInvalid] if others may write the catalog, and [messages.Internal] if it cannot be read.
func (s *Spawner) Catalog(_ context.Context, req messages.CatalogRequest) (messages.CatalogPage, error) {
	page := messages.CatalogPage{HiveID: s.cfg.HiveID, Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if s.catalog == nil {
		return page, nil
	}
	page.CatalogDir = s.catalog.Dir()
	entries, err := s.installed()
	if err != nil {
		return page, err
	}
	entries = entries[min(req.Skip, len(entries)):]
	if len(entries) > entriesPage {
		entries = entries[:entriesPage]
		page.Next = req.Skip + entriesPage
	}
	page.Entries = entries
	return page, nil
}

// installed returns all entries of the catalog, those with a problem behind the others.
func (s *Spawner) installed() ([]messages.CatalogEntry, error) {
	sound, broken, err := s.catalog.List()
	if err != nil {
		return nil, unreadable(err)
	}
	pins, err := s.catalog.Pins()
	if err != nil {
		return nil, unreadable(err)
	}
	chosen := make(map[string]string) // the directory of the entry that a job gets, by worker
	entries := make([]messages.CatalogEntry, 0, len(sound)+len(broken))
	var changed []messages.CatalogEntry
	for _, entry := range sound {
		if _, asked := chosen[entry.Name]; !asked {
			choice, _, _ := s.catalog.Expect(entry.Name, "") // of none but prereleases, nothing is chosen
			chosen[entry.Name] = choice.Dir
		}
		told := describeEntry(entry)
		if err := s.catalog.Changed(entry); err != nil {
			told.Problem, told.Pinned = messages.OneLine(err.Error()), pins[entry.Name] == entry.Version
			changed = append(changed, told)
			continue
		}
		told.Chosen, told.Pinned = chosen[entry.Name] == entry.Dir, pins[entry.Name] == entry.Version
		entries = append(entries, told)
	}
	entries = append(entries, changed...)
	for _, b := range broken {
		entries = append(entries, describeBroken(b, pins))
	}
	dangling, err := s.catalog.Dangling()
	if err != nil {
		return nil, unreadable(err)
	}
	for _, name := range slices.Sorted(maps.Keys(dangling)) {
		entries = append(entries, messages.CatalogEntry{
			Dir:    filepath.Join(s.catalog.Dir(), name+"-v"+dangling[name]+"-"+runtime.GOOS),
			Worker: name, Version: dangling[name], Pinned: true,
			Problem: "is pinned and not installed, so jobs that name no version fail: install it, or unpin the worker",
		})
	}
	return entries, nil
}

func describeEntry(entry catalog.Entry) messages.CatalogEntry {
	told := messages.CatalogEntry{
		Dir: entry.Dir, Worker: entry.Name, Version: entry.Version, OS: entry.OS, Arch: entry.Arch, BinaryPath: entry.Binary,
	}
	if info, err := os.Stat(entry.Binary); err == nil {
		told.Size = info.Size()
	}
	if m := entry.Manifest; m != nil {
		told.Manifest, told.SHA256, told.Devices, told.Description = true, m.SHA256, m.Devices, m.Description
	}
	return told
}

func describeBroken(b catalog.Broken, pins map[string]string) messages.CatalogEntry {
	told := messages.CatalogEntry{Dir: b.Path, Problem: messages.OneLine(b.Err.Error())}
	if name, version, ok := catalog.ParseDir(b.Path); ok {
		told.Worker, told.Version, told.Pinned = name, version, pins[name] == version
	}
	return told
}

// unreadable puts the error of a catalog that cannot be read or is not to be trusted into words for a job.
func unreadable(err error) error {
	if _, invalid := errors.AsType[*binary.Error](err); invalid && !binary.Retryable(err) {
		return messages.Errorf(messages.BinaryInvalid, "%w", err)
	}
	return unexpected("list the catalog", err)
}
