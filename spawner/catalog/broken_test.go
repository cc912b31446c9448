package catalog_test

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// breakage is a way for an entry to be broken.
type breakage struct {
	make  func(t require.TestingT, dir, entry, name string)
	cause binary.Cause // Empty: the entry's directory is at fault, not its binary.
	says  string
}

func breakages() map[string]breakage {
	binaryOf := func(content string, mode os.FileMode) func(require.TestingT, string, string, string) {
		return func(t require.TestingT, dir, entry, name string) {
			path := filepath.Join(addEntry(t, dir, entry, name), exe(name))
			require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
			require.NoError(t, os.Chmod(path, mode))
		}
	}
	all := map[string]breakage{
		"half written": {func(t require.TestingT, dir, entry, _ string) {
			require.NoError(t, os.Mkdir(filepath.Join(dir, entry), 0o755))
		}, binary.Missing, "does not exist"},
		"another binary": {func(t require.TestingT, dir, entry, name string) {
			addEntry(t, dir, entry, name+"-other")
		}, binary.Missing, "does not exist"},
		"empty binary": {binaryOf("", 0o755), binary.Empty, "empty"},
		"text":         {binaryOf("hello", 0o755), binary.UnknownFormat, "neither"},
		"binary is a directory": {func(t require.TestingT, dir, entry, name string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, entry, exe(name)), 0o755))
		}, binary.Directory, "directory"},
		"entry is a file": {func(t require.TestingT, dir, entry, _ string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, entry), program(t), 0o755))
		}, "", "not a directory"},
	}
	if runtime.GOOS != "windows" {
		maps.Copy(all, unixBreakages(binaryOf))
	}
	return all
}

func unixBreakages(binaryOf func(string, os.FileMode) func(require.TestingT, string, string, string)) map[string]breakage {
	link := func(target func(dir string) string) func(require.TestingT, string, string, string) {
		return func(t require.TestingT, dir, entry, _ string) {
			require.NoError(t, os.Symlink(target(dir), filepath.Join(dir, entry)))
		}
	}
	return map[string]breakage{
		"not executable":    {binaryOf("#!/bin/sh\n", 0o644), binary.NotExecutable, "chmod 0755"},
		"writable binary":   {binaryOf("#!/bin/sh\n", 0o775), binary.Writable, "its group"},
		"cut short":         {binaryOf("\x7fELF", 0o755), binary.Damaged, "cut short"},
		"missing shell":     {binaryOf("#!/no/such/shell\n", 0o755), binary.Interpreter, "/no/such/shell"},
		"link to nothing":   {link(func(string) string { return "no-such-entry" }), "", "no-such-entry"},
		"link to itself":    {link(func(string) string { return "." }), "", "leads out of the catalog"},
		"link to outside":   {link(func(string) string { return os.TempDir() }), "", "leads out of the catalog"},
		"link up and aside": {link(func(string) string { return ".." }), "", "leads out of the catalog"},
		"writable directory": {func(t require.TestingT, dir, entry, name string) {
			require.NoError(t, os.Chmod(addEntry(t, dir, entry, name), 0o777))
		}, binary.Writable, "everyone"},
	}
}

func TestBrokenEntryIsSkippedAndNamed(t *testing.T) {
	t.Parallel()
	for name, broken := range breakages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newCatalog(t)
			entry := here(cpu + "-v2.0.0-PLATFORM")
			broken.make(t, dir, entry, cpu)

			_, alone, err := catalog.Open(dir).Find(cpu, "")
			var notFound *catalog.NotFoundError
			require.ErrorAs(t, err, &notFound)
			require.Equal(t, alone, notFound.Broken)
			require.ErrorContains(t, err, broken.says)
			requireOneLine(t, err)

			addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
			for _, version := range []string{"", "1.0.0"} {
				found, skipped, err := catalog.Open(dir).Find(cpu, version)
				require.NoError(t, err)
				require.Equal(t, "1.0.0", found.Version)
				if version != "" {
					require.Empty(t, skipped, "it was not asked for")
					continue
				}
				require.Len(t, skipped, 1)
				require.Equal(t, filepath.Join(dir, entry), skipped[0].Path)
				require.ErrorContains(t, skipped[0].Err, entry)
				require.ErrorContains(t, skipped[0].Err, broken.says)
				if broken.cause != "" {
					require.ErrorIs(t, skipped[0].Err, broken.cause)
				}
			}
		})
	}
}

func TestNameWithoutVersionIsBroken(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	path := addEntry(t, dir, here(cpu+"-vlatest-PLATFORM"), cpu)
	var notFound *catalog.NotFoundError
	_, broken, err := catalog.Open(dir).Find(cpu, "")
	require.ErrorAs(t, err, &notFound)
	require.Len(t, broken, 1)
	require.Equal(t, path, broken[0].Path)
	require.Equal(t, broken, notFound.Broken)

	_, broken, err = catalog.Open(dir).Find(cpu, "1.0.0")
	require.ErrorAs(t, err, &notFound)
	require.Empty(t, broken)
	require.Empty(t, notFound.Broken)
}

// Neither the order in which entries were made nor broken ones beside them change the choice, which is the highest
// version that is sound.
func TestChoiceDependsOnSoundEntriesAlone(t *testing.T) {
	t.Parallel()
	kinds := breakages()
	version := rapid.StringMatching(`[0-3]\.[0-3]\.(0|1|10)(-rc\.[12])?`)
	entry := rapid.Custom(func(t *rapid.T) string {
		return version.Draw(t, "version") + rapid.SampledFrom([]string{"-PLATFORM", "-PLATFORM-ARCH", "-OTHER"}).Draw(t, "platform")
	})
	base, runs := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		dir, again := filepath.Join(base, strconv.Itoa(runs), "a"), filepath.Join(base, strconv.Itoa(runs), "b")
		require.NoError(t, os.MkdirAll(dir, 0o700))
		require.NoError(t, os.Mkdir(again, 0o700))
		asked := rapid.OneOf(rapid.Just(""), version).Draw(t, "asked")
		entries := rapid.SliceOfNDistinct(entry, 0, 4, rapid.ID).Draw(t, "entries")
		for _, e := range entries {
			addEntry(t, dir, here(cpu+"-v"+e), cpu)
		}
		for _, e := range rapid.Permutation(entries).Draw(t, "order") {
			addEntry(t, again, here(cpu+"-v"+e), cpu)
		}
		before := choice(t, dir, asked)
		require.Equal(t, before, choice(t, again, asked))
		require.Equal(t, expected(entries, asked), before)

		for _, bad := range rapid.SliceOfNDistinct(entry, 1, 2, rapid.ID).Draw(t, "broken") {
			if _, err := os.Lstat(filepath.Join(dir, here(cpu+"-v"+bad))); err != nil {
				kinds[rapid.SampledFrom(sortedKeys(kinds)).Draw(t, "kind")].make(t, dir, here(cpu+"-v"+bad), cpu)
			}
		}
		require.Equal(t, before, choice(t, dir, asked))
	})
}
