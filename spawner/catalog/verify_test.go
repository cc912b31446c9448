//go:build unix

package catalog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// withManifest makes an entry with a manifest and returns its directory. In the manifest SUM stands for the checksum of its
// program.
func withManifest(t require.TestingT, dir, entry, name, manifest string) string {
	path := addEntry(t, dir, entry, name)
	manifest = strings.ReplaceAll(manifest, "SUM", checksum(program(t)))
	require.NoError(t, os.WriteFile(filepath.Join(path, catalog.ManifestName), []byte(manifest), 0o644))
	require.NoError(t, os.Chmod(filepath.Join(path, catalog.ManifestName), 0o644))
	return path
}

const summed = `{"sha256":"SUM"}`

func TestChooseComparesTheChecksum(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	withManifest(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu, summed)
	newer := withManifest(t, dir, here(cpu+"-v2.0.0-PLATFORM"), cpu, summed)
	installed := catalog.Open(dir)
	choice, broken, err := installed.Choose(t.Context(), cpu, "")
	require.NoError(t, err)
	require.Empty(t, broken)
	require.Equal(t, "2.0.0", choice.Version)
	require.Equal(t, "it is the highest of 2 versions that can be started", choice.Why)
	require.True(t, choice.Program.Script)
	require.NoError(t, choice.Program.Replaced())
	choice.Program.Close()

	// The same size, and the time of modification set back: the kernel's time of the change tells.
	changed := filepath.Join(newer, cpu)
	before, err := os.Stat(changed)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(changed, []byte("#!/bin/sh "), 0o755))
	require.NoError(t, os.Chtimes(changed, before.ModTime(), before.ModTime()))
	choice, broken, err = installed.Choose(t.Context(), cpu, "")
	require.NoError(t, err)
	defer choice.Program.Close()
	require.Equal(t, "1.0.0", choice.Version, "an entry that was changed hides no good one")
	require.Len(t, broken, 1)
	var mismatch *catalog.ChecksumError
	require.ErrorAs(t, broken[0].Err, &mismatch)
	require.Equal(t, mismatch.Want, checksum(program(t)))
	require.Equal(t, checksum([]byte("#!/bin/sh ")), mismatch.Got)
	requireOneLine(t, broken[0].Err)

	_, _, err = installed.Choose(t.Context(), cpu, "2.0.0")
	require.ErrorAs(t, err, new(*catalog.NotFoundError))
	entry, _, err := installed.Find(cpu, "")
	require.NoError(t, err)
	require.Equal(t, "2.0.0", entry.Version, "a look-up computes none")

	// What is known is told, with what to do.
	fresh := catalog.Open(dir)
	require.NoError(t, fresh.Changed(entry), "it is not known")
	require.Eventually(t, func() bool { // what was written a moment ago is not remembered
		_, _, err := fresh.Choose(t.Context(), cpu, "2.0.0")
		return err != nil && fresh.Changed(entry) != nil
	}, time.Minute, 10*time.Millisecond)
	err = fresh.Changed(entry)
	require.ErrorAs(t, err, &mismatch)
	rm, add := fmt.Sprintf("`rbee-hive catalog rm %s 2.0.0 --catalog-dir %s`", cpu, dir), fmt.Sprintf("`rbee-hive catalog add FILE --name %s --version 2.0.0 --catalog-dir %s`", cpu, dir)
	require.ErrorContains(t, err, "it was changed since it was installed; remove the version with "+rm+", then install it again with "+add)
	expected, _, err := fresh.Expect(cpu, "")
	require.NoError(t, err)
	require.Equal(t, "1.0.0", expected.Version)

	require.NoError(t, fresh.Pin(cpu, "2.0.0"))
	require.ErrorContains(t, fresh.Changed(entry), "`rbee-hive catalog rm "+cpu+" 2.0.0 --force --catalog-dir "+dir+"`")
	require.ErrorContains(t, fresh.Changed(entry), "and pin it with `rbee-hive catalog pin "+cpu+" 2.0.0 --catalog-dir "+dir+"`")
}

// What was verified is held open: whatever lies at its path by now, the program is the file that was verified.
func TestAProgramThatWasReplacedIsTold(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	entry := withManifest(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu, summed)
	for what, replace := range map[string]func(path string){
		"by a rename": func(path string) {
			require.NoError(t, os.WriteFile(path+".new", program(t), 0o755))
			require.NoError(t, os.Rename(path+".new", path))
		},
		"in place": func(path string) {
			awaitTick(t, filepath.Dir(path))
			require.NoError(t, os.WriteFile(path, program(t), 0o755))
		},
		"there and back": func(path string) {
			awaitTick(t, filepath.Dir(path))
			require.NoError(t, os.Rename(path, path+".old"))
			require.NoError(t, os.Rename(path+".old", path))
		},
	} {
		choice, _, err := catalog.Open(dir).Choose(t.Context(), cpu, "")
		require.NoError(t, err, what)
		require.NoError(t, choice.Program.Replaced(), what)
		replace(filepath.Join(entry, cpu))
		err = choice.Program.Replaced()
		require.ErrorContains(t, err, "is being replaced: try again", what)
		require.True(t, binary.Retryable(err), what)
		choice.Program.Close()
	}
}

// However many ask, a file is read once for each state of it, and nothing is remembered of one that may change unnoticed.
func TestChecksumsAreComputedOnce(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	path := filepath.Join(withManifest(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu, summed), cpu)
	installed := catalog.Open(dir)
	var clock sync.Mutex
	offset := time.Hour
	installed.SetClock(func() time.Time { clock.Lock(); defer clock.Unlock(); return time.Now().Add(offset) })
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			choice, _, err := installed.Choose(t.Context(), cpu, "")
			if err == nil {
				choice.Program.Close()
			}
			require.NoError(t, err)
		})
	}
	all.Wait()
	require.Equal(t, 1, installed.Sums())

	awaitTick(t, dir)
	clock.Lock()
	offset = 0
	clock.Unlock()
	require.NoError(t, os.WriteFile(path, program(t), 0o755))
	choice, _, err := installed.Choose(t.Context(), cpu, "")
	require.NoError(t, err)
	choice.Program.Close()
	require.LessOrEqual(t, installed.Sums(), 2)
}

// Whoever waits for a checksum waits for himself: another's patience that ends does not end his.
func TestWaitingForAChecksumEnds(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	withManifest(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu, summed)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, broken, err := catalog.Open(dir).Choose(ended, cpu, "")
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, broken, "it says nothing about the entry")
}

func TestWarm(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		withManifest(t, dir, here(cpu+"-v"+version+"-PLATFORM"), cpu, summed)
	}
	addEntry(t, dir, here(cuda+"-v1.0.0-PLATFORM"), cuda)
	require.NoError(t, os.Mkdir(filepath.Join(dir, here(cuda+"-v2.0.0-PLATFORM")), 0o755))
	installed := catalog.Open(dir)
	installed.SetClock(func() time.Time { return time.Now().Add(time.Hour) })
	installed.Warm(t.Context())
	require.Equal(t, 3, installed.Sums())

	awaitTick(t, dir)
	withManifest(t, dir, here(cpu+"-v1.3.0-PLATFORM"), cpu, summed)
	installed.Warm(t.Context())
	require.Equal(t, 4, installed.Sums(), "something new is there")
}

func TestManifestsThatBreakTheirEntry(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		manifest string
		spoil    func(t *testing.T, dir string)
		says     string
	}{
		"a mistake":       {manifest: `{"xame":"x"}`, says: "worker.json:1:2: xame: unknown field"},
		"half written":    {manifest: `{"name":`, says: "worker.json:1:9: "},
		"another name":    {manifest: `{"name":"other"}`, says: "name: is other in the entry of " + cpu},
		"another version": {manifest: `{"version":"9.9.9"}`, says: "version: is 9.9.9 in the entry of version 2.0.0"},
		"no such binary":  {manifest: `{"binary":"bin/none"}`, says: "does not exist"},
		"a missing file":  {manifest: `{"files":["lib/x.so"]}`, says: "needs lib/x.so, which is missing"},
		"an open manifest": {manifest: `{}`, says: "can be written by everyone", spoil: func(t *testing.T, dir string) {
			require.NoError(t, os.Chmod(filepath.Join(dir, catalog.ManifestName), 0o666))
		}},
		"a manifest elsewhere": {manifest: `{}`, says: "is no regular file", spoil: func(t *testing.T, dir string) {
			path := filepath.Join(dir, catalog.ManifestName)
			require.NoError(t, os.Rename(path, filepath.Join(t.TempDir(), "m")))
			require.NoError(t, os.Symlink("/dev/null", path))
		}},
		"an open directory inside": {manifest: `{"binary":"bin/w"}`, says: "can be written by everyone", spoil: func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
			require.NoError(t, os.Chmod(filepath.Join(dir, "bin"), 0o777))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "bin", "w"), program(t), 0o755))
		}},
		"a link out": {manifest: `{"binary":"bin/sh"}`, says: "leads out of the catalog", spoil: func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink("/bin", filepath.Join(dir, "bin")))
		}},
		"below an open directory": {manifest: `{"binary":"OPEN/w"}`, says: "can be written by everyone", spoil: func(t *testing.T, dir string) {
			open := filepath.Join(t.TempDir(), "open")
			require.NoError(t, os.Mkdir(open, 0o755))
			require.NoError(t, os.Chmod(open, 0o777))
			require.NoError(t, os.WriteFile(filepath.Join(open, "w"), program(t), 0o755))
			path := filepath.Join(dir, catalog.ManifestName)
			require.NoError(t, os.WriteFile(path, []byte(`{"binary":"`+open+`/w"}`), 0o644))
		}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := newCatalog(t)
			entry := withManifest(t, dir, here(cpu+"-v2.0.0-PLATFORM"), cpu, test.manifest)
			if test.spoil != nil {
				test.spoil(t, entry)
			}
			addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
			found, broken, err := catalog.Open(dir).Find(cpu, "")
			require.NoError(t, err)
			require.Equal(t, "1.0.0", found.Version, "a broken entry hides no good one")
			require.Len(t, broken, 1)
			require.ErrorContains(t, broken[0].Err, test.says)
			requireOneLine(t, broken[0].Err)
		})
	}
}

func TestEntriesOfOthersAreSkipped(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	withManifest(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu, summed)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	const somebody = 4242
	err = binary.CheckOwner(dir, owned{info, 1}, somebody)
	require.ErrorIs(t, err, binary.Foreign)
	require.ErrorContains(t, err, "belongs to user 1")
	require.NoError(t, binary.CheckOwner(dir, owned{info, 0}, somebody), "root's")
	require.NoError(t, binary.CheckOwner(dir, owned{info, somebody}, somebody), "its own")

	other := catalog.Open(dir)
	other.SetUser(somebody)
	_, _, err = other.Find(cpu, "")
	if os.Geteuid() == 0 {
		require.NoError(t, err, "what is root's is trusted")
		return
	}
	require.ErrorIs(t, err, binary.Foreign)
}

// Whoever owns a directory above a program can put another in its place.
func TestAProgramBelowAnothersDirectoryIsNotTrusted(t *testing.T) {
	t.Parallel()
	dir, user := filepath.Join(t.TempDir(), "opt"), os.Geteuid()
	require.NoError(t, os.Mkdir(dir, 0o755))
	installed := catalog.Open(newCatalog(t))
	require.NoError(t, installed.CheckParents(filepath.Join(dir, "server")))
	if user == 0 {
		require.NoError(t, os.Chown(dir, 4242, -1))
	} else {
		installed.SetUser(4242)
	}
	err := installed.CheckParents(filepath.Join(dir, "server"))
	require.ErrorIs(t, err, binary.Foreign)
	require.ErrorContains(t, err, dir+": belongs to user")
}

func TestProgramInstalledElsewhere(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	entry := filepath.Join(dir, here("tool-v1.0.0-PLATFORM"))
	require.NoError(t, os.Mkdir(entry, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(entry, catalog.ManifestName), []byte(`{"binary":"/bin/sh","devices":["cpu"]}`), 0o644))
	found, _, err := catalog.Open(dir).Find("tool", "")
	require.NoError(t, err)
	require.Equal(t, "/bin/sh", found.Binary)
	require.Equal(t, []string{"cpu"}, found.Manifest.Devices)
}

// A manifest that is changed counts at once.
func TestManifestIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	path := filepath.Join(withManifest(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu, `{"description":"a"}`), catalog.ManifestName)
	installed := catalog.Open(dir)
	installed.SetClock(func() time.Time { return time.Now().Add(time.Hour) })
	for _, text := range []string{"a", "b", "c"} {
		awaitTick(t, dir)
		require.NoError(t, os.WriteFile(path, []byte(`{"description":"`+text+`"}`), 0o644))
		for range 2 {
			found, _, err := installed.Find(cpu, "")
			require.NoError(t, err)
			require.Equal(t, text, found.Manifest.Description)
		}
	}
}
