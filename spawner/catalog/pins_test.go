package catalog_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

func TestPins(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	for _, version := range []string{"1.0.0", "1.1.0", "2.0.0", "3.0.0-rc.1"} {
		addEntry(t, dir, here(cpu+"-v"+version+"-PLATFORM"), cpu)
	}
	installed := catalog.Open(dir)
	requireVersion(t, installed, "2.0.0")
	require.NoError(t, installed.Pin(cpu, "1.0.0"))
	requireVersion(t, installed, "1.0.0")
	requireVersion(t, catalog.Open(dir), "1.0.0")
	found, _, err := installed.Find(cpu, "1.1.0")
	require.NoError(t, err)
	require.Equal(t, "1.1.0", found.Version, "who names a version gets that")
	require.NoError(t, installed.Pin(cpu, "3.0.0-rc.1"))
	requireVersion(t, installed, "3.0.0-rc.1")
	pins, err := installed.Pins()
	require.NoError(t, err)
	require.Equal(t, map[string]string{cpu: "3.0.0-rc.1"}, pins)

	require.ErrorAs(t, installed.Pin(cpu, "9.9.9"), new(*catalog.NotFoundError), "what is not there cannot be pinned")
	requireVersion(t, installed, "3.0.0-rc.1")
	was, err := installed.Unpin(cpu)
	require.NoError(t, err)
	require.True(t, was)
	was, err = installed.Unpin(cpu)
	require.NoError(t, err)
	require.False(t, was)
	requireVersion(t, installed, "2.0.0")
}

// A pin is never replaced by another version.
func TestAPinThatCannotBeKept(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
	pinned := addEntry(t, dir, here(cpu+"-v2.0.0-PLATFORM"), cpu)
	installed := catalog.Open(dir)
	require.NoError(t, installed.Pin(cpu, "2.0.0"))
	require.NoError(t, os.Truncate(filepath.Join(pinned, exe(cpu)), 0))
	_, broken, err := installed.Find(cpu, "")
	var missing *catalog.NotFoundError
	require.ErrorAs(t, err, &missing)
	require.Len(t, broken, 1)
	require.True(t, missing.Pinned)
	require.ErrorContains(t, err, "unpin the worker")

	require.NoError(t, os.RemoveAll(pinned))
	_, _, err = installed.Find(cpu, "")
	require.ErrorAs(t, err, &missing)
	require.Equal(t, "2.0.0", missing.Version)
	require.ErrorContains(t, err, "is pinned in pins.json and not installed")
	requireOneLine(t, err)
}

func TestPrevious(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	for _, version := range []string{"b999", "b6795", "b6800"} {
		addEntry(t, dir, here(cpu+"-v"+version+"-PLATFORM"), cpu)
	}
	installed := catalog.Open(dir)
	requireVersion(t, installed, "b6800")
	for _, want := range []string{"b6795", "b999"} {
		entry, err := installed.Previous(cpu)
		require.NoError(t, err)
		require.Equal(t, want, entry.Version)
		require.NoError(t, installed.Pin(cpu, entry.Version))
	}
	_, err := installed.Previous(cpu)
	require.ErrorContains(t, err, "no version below b999")
}

func TestPinsByManyAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	workers := []string{"a", "b", "c", "d", "e", "f"}
	for _, worker := range workers {
		addEntry(t, dir, here(worker+"-v1.0.0-PLATFORM"), worker)
	}
	var all sync.WaitGroup
	for _, worker := range workers {
		all.Go(func() { require.NoError(t, catalog.Open(dir).Pin(worker, "1.0.0")) })
	}
	all.Wait()
	pins, err := catalog.Open(dir).Pins()
	require.NoError(t, err)
	require.Len(t, pins, len(workers))
}

func TestPinsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		`{"a":"latest"}`:             "pins.json:1:6: a: want a semantic version",
		"{\n\"../a\":\"1.0.0\"}":     "pins.json:2:1: ../a: want a name",
		`{"a":"1.0.0"`:               "ends before",
		`["a"]`:                      "is a list; it must be an object",
		`{"a":"1.0.0","a":"1.0.0"}`:  "stands there twice",
		`{"a":{"version":"1.0.0"}} `: "is an object; it must be a string",
	} {
		dir := newCatalog(t)
		addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "pins.json"), []byte(text), 0o644))
		_, _, err := catalog.Open(dir).Find(cpu, "")
		require.ErrorContains(t, err, says)
		require.NotErrorAs(t, err, new(*catalog.NotFoundError))
		_, _, err = catalog.Open(dir).Find(cpu, "1.0.0")
		require.NoError(t, err, "who names a version does not need them")
	}
}

// A version that is pinned is not removed, whoever pins it meanwhile, and one that is removed is not pinned.
func TestPinAndRemoveAtOnce(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
	require.NoError(t, catalog.Open(dir).Pin(cpu, "1.0.0"))
	_, err := catalog.Open(dir).Unpin(cpu)
	require.NoError(t, err)
	for range 20 {
		addEntry(t, dir, here(cpu+"-v2.0.0-PLATFORM"), cpu)
		var pinned, removed error
		var both sync.WaitGroup
		both.Go(func() { pinned = catalog.Open(dir).Pin(cpu, "2.0.0") })
		both.Go(func() { _, removed = catalog.Open(dir).Remove(cpu, "2.0.0", false) })
		both.Wait()
		if pinned == nil {
			require.ErrorIs(t, removed, catalog.ErrPinned)
			requireVersion(t, catalog.Open(dir), "2.0.0")
			unpinned, err := catalog.Open(dir).Remove(cpu, "2.0.0", true)
			require.NoError(t, err)
			require.True(t, unpinned)
		} else {
			require.ErrorAs(t, pinned, new(*catalog.NotFoundError))
			require.NoError(t, removed)
		}
		requireVersion(t, catalog.Open(dir), "1.0.0")
		requireNames(t, dir, here(cpu+"-v1.0.0-PLATFORM"), "pins.json")
	}
}

// What is pinned and not there is told, since nothing else in the catalog shows it.
func TestDangling(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	installed := catalog.Open(dir)
	dangling, err := installed.Dangling()
	require.NoError(t, err)
	require.Empty(t, dangling)
	for _, name := range []string{"a", "b", "c"} {
		entry := addEntry(t, dir, here(name+"-v1.0.0-PLATFORM"), name)
		require.NoError(t, installed.Pin(name, "1.0.0"))
		switch name {
		case "b": // broken is there, and shown
			require.NoError(t, os.Truncate(filepath.Join(entry, exe(name)), 0))
		case "c":
			require.NoError(t, os.RemoveAll(entry))
		}
	}
	dangling, err = installed.Dangling()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"c": "1.0.0"}, dangling)
}
