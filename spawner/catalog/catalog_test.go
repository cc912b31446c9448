package catalog_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

const (
	cpu  = "cpu-llm-worker-rbee"
	cuda = "cuda-llm-worker-rbee"
)

func TestFindChooses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dirs    []string // PLATFORM stands for this system, ARCH for this architecture.
		version string
		want    string // Empty: none is found.
	}{
		"nothing at all":                    {nil, "", ""},
		"the only one":                      {[]string{cpu + "-v0.1.0-PLATFORM"}, "", cpu + "-v0.1.0-PLATFORM"},
		"the highest, by number":            {[]string{cpu + "-v0.9.0-PLATFORM", cpu + "-v0.10.0-PLATFORM"}, "", cpu + "-v0.10.0-PLATFORM"},
		"this architecture before any":      {[]string{cpu + "-v1.0.0-PLATFORM", cpu + "-v1.0.0-PLATFORM-ARCH"}, "", cpu + "-v1.0.0-PLATFORM-ARCH"},
		"a higher version for any":          {[]string{cpu + "-v1.0.1-PLATFORM", cpu + "-v1.0.0-PLATFORM-ARCH"}, "", cpu + "-v1.0.1-PLATFORM"},
		"the architecture's other name":     {[]string{cpu + "-v1.0.0-PLATFORM-ALIAS"}, "", cpu + "-v1.0.0-PLATFORM-ALIAS"},
		"not another architecture":          {[]string{cpu + "-v1.0.0-PLATFORM-s390x"}, "", ""},
		"not another system":                {[]string{cpu + "-v1.0.0-OTHER", cpu + "-v1.0.0-plan9"}, "", ""},
		"not another worker":                {[]string{cuda + "-v1.0.0-PLATFORM", cpu + "x-v1.0.0-PLATFORM"}, "", ""},
		"a prerelease unasked":              {[]string{cpu + "-v1.0.0-rc.1-PLATFORM"}, "", ""},
		"a prerelease asked for":            {[]string{cpu + "-v1.0.0-rc.1-PLATFORM", cpu + "-v1.0.0-PLATFORM"}, "1.0.0-rc.1", cpu + "-v1.0.0-rc.1-PLATFORM"},
		"a release before its prerelease":   {[]string{cpu + "-v1.0.0-PLATFORM", cpu + "-v1.1.0-beta-PLATFORM"}, "", cpu + "-v1.0.0-PLATFORM"},
		"an older one asked for":            {[]string{cpu + "-v1.0.0-PLATFORM", cpu + "-v2.0.0-PLATFORM"}, "1.0.0", cpu + "-v1.0.0-PLATFORM"},
		"one asked for that is not there":   {[]string{cpu + "-v1.0.0-PLATFORM"}, "1.0", ""},
		"one asked for with v":              {[]string{cpu + "-v1.0.0-PLATFORM"}, "v1.0.0", ""},
		"build metadata asked for":          {[]string{cpu + "-v1.0.0+a-PLATFORM", cpu + "-v1.0.0+b-PLATFORM"}, "1.0.0+a", cpu + "-v1.0.0+a-PLATFORM"},
		"build metadata in a fixed order":   {[]string{cpu + "-v1.0.0+a-PLATFORM", cpu + "-v1.0.0+b-PLATFORM"}, "", cpu + "-v1.0.0+b-PLATFORM"},
		"a prerelease like a platform":      {[]string{cpu + "-v1.0.0-linux-PLATFORM"}, "1.0.0-linux", cpu + "-v1.0.0-linux-PLATFORM"},
		"a prerelease like a version":       {[]string{cpu + "-v1.0.0-v2-PLATFORM"}, "1.0.0-v2", cpu + "-v1.0.0-v2-PLATFORM"},
		"a name that goes on as a version":  {[]string{cpu + "-v2-v1.0.0-PLATFORM"}, "", ""},
		"builds, by number":                 {[]string{cpu + "-vb999-PLATFORM", cpu + "-vb6795-PLATFORM-ARCH", cpu + "-vb6795-PLATFORM"}, "", cpu + "-vb6795-PLATFORM-ARCH"},
		"a build asked for":                 {[]string{cpu + "-vb999-PLATFORM", cpu + "-vb6795-PLATFORM"}, "b999", cpu + "-vb999-PLATFORM"},
		"a version before a build":          {[]string{cpu + "-v0.0.1-PLATFORM", cpu + "-vb6795-PLATFORM"}, "", cpu + "-v0.0.1-PLATFORM"},
		"what a crashed installation left":  {[]string{".install-123", "." + cpu + "-v1.0.0-PLATFORM"}, "", ""},
		"no version that is not a full one": {[]string{cpu + "-v1-PLATFORM", cpu + "-v1.2-PLATFORM", cpu + "-v01.2.3-PLATFORM"}, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newCatalog(t)
			for _, entry := range test.dirs {
				addEntry(t, dir, here(entry), cpu)
			}
			entry, _, err := catalog.Open(dir).Find(cpu, test.version)
			if test.want == "" {
				require.ErrorAs(t, err, new(*catalog.NotFoundError))
				require.Zero(t, entry)
				return
			}
			require.NoError(t, err)
			require.Equal(t, filepath.Join(dir, here(test.want)), entry.Dir)
			require.Equal(t, filepath.Join(entry.Dir, exe(cpu)), entry.Binary)
			require.Equal(t, cpu, entry.Name)
			require.Equal(t, runtime.GOOS, entry.OS)
			require.Contains(t, here(test.want), "-v"+entry.Version+"-")
		})
	}
}

func TestNamesThatHoldAVersionMark(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	for _, name := range []string{"worker-v2", "worker-v2-vllm", "worker", "w-v1.0.0-linux"} {
		addEntry(t, dir, here(name+"-v1.2.3-PLATFORM"), name)
		entry, broken, err := catalog.Open(dir).Find(name, "")
		require.NoError(t, err, name)
		require.Empty(t, broken)
		require.Equal(t, name, entry.Name)
		require.Equal(t, "1.2.3", entry.Version)
	}
}

func TestNotFoundError(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	addEntry(t, dir, here(cpu+"-v2.0.0-rc.1-PLATFORM"), cpu)
	var notFound *catalog.NotFoundError
	_, _, err := catalog.Open(dir).Find(cpu, "")
	require.ErrorAs(t, err, &notFound)
	require.Equal(t, []string{"2.0.0-rc.1"}, notFound.Installed)
	require.Contains(t, notFound.Tried, filepath.Join(dir, here(cpu+"-v*-PLATFORM"), exe(cpu)))
	require.ErrorContains(t, err, "ask for a prerelease by its version")

	addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
	_, _, err = catalog.Open(dir).Find(cpu, "1.5.0")
	require.ErrorAs(t, err, &notFound)
	require.Equal(t, []string{"2.0.0-rc.1", "1.0.0"}, notFound.Installed)
	require.Contains(t, notFound.Tried, filepath.Join(dir, here(cpu+"-v1.5.0-PLATFORM-ARCH"), exe(cpu)))
	require.Empty(t, notFound.Broken)
	requireOneLine(t, err)
}

func TestCatalogThatIsNotThere(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{filepath.Join(t.TempDir(), "none", "of", "these"), ""} {
		_, broken, err := catalog.Open(dir).Find(cpu, "")
		require.ErrorAs(t, err, new(*catalog.NotFoundError))
		require.Empty(t, broken)
		entries, broken, err := catalog.Open(dir).List()
		require.NoError(t, err)
		require.Empty(t, entries)
		require.Empty(t, broken)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, _, err := catalog.Open(file).Find(cpu, "")
	require.ErrorContains(t, err, "not a directory")
	require.NotErrorAs(t, err, new(*catalog.NotFoundError))
}

// A job names the worker: whatever it writes there stays inside the catalog.
func TestNameThatIsAPath(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	addEntry(t, filepath.Dir(dir), here("outside-v1.0.0-PLATFORM"), "outside")
	for _, name := range []string{"", ".", "..", "../outside", "/bin/sh", "*", filepath.Join(dir, cpu)} {
		_, _, err := catalog.Open(dir).Find(name, "")
		require.ErrorAs(t, err, new(*catalog.NotFoundError), name)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	for _, entry := range []string{"-v0.2.0-PLATFORM", "-v0.10.0-PLATFORM", "-v0.10.0-PLATFORM-ARCH", "-v1.0.0-rc.1-PLATFORM", "-v1.0.0-OTHER"} {
		addEntry(t, dir, here(cuda+entry), cuda)
		addEntry(t, dir, here(cpu+entry), cpu)
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, here(cuda+"-v3.0.0-PLATFORM")), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, here(cpu+"-vNEXT-PLATFORM")), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "notes"), 0o755))

	entries, broken, err := catalog.Open(dir).List()
	require.NoError(t, err)
	var got []string
	for _, entry := range entries {
		got = append(got, filepath.Base(entry.Dir))
	}
	require.Equal(t, []string{
		here(cpu + "-v1.0.0-rc.1-PLATFORM"), here(cpu + "-v0.10.0-PLATFORM-ARCH"), here(cpu + "-v0.10.0-PLATFORM"), here(cpu + "-v0.2.0-PLATFORM"),
		here(cuda + "-v1.0.0-rc.1-PLATFORM"), here(cuda + "-v0.10.0-PLATFORM-ARCH"), here(cuda + "-v0.10.0-PLATFORM"), here(cuda + "-v0.2.0-PLATFORM"),
	}, got)
	require.Len(t, broken, 2)
	require.Equal(t, filepath.Join(dir, here(cpu+"-vNEXT-PLATFORM")), broken[0].Path)
	require.ErrorContains(t, broken[0].Err, "no semantic version")
	require.Equal(t, filepath.Join(dir, here(cuda+"-v3.0.0-PLATFORM")), broken[1].Path)
	require.ErrorIs(t, broken[1].Err, fs.ErrNotExist)
}

// A listing that is kept is given up at every change of the directory, and never outlives one of an entry.
func TestFindSeesEveryChange(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	old := addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
	installed := catalog.Open(dir)
	installed.SetClock(func() time.Time { return changedAt(t, dir) })
	requireVersion(t, installed, "1.0.0")
	require.False(t, installed.Keeps(), "a directory that has just changed may change again unnoticed")

	installed.SetClock(func() time.Time { return time.Now().Add(time.Hour) })
	requireVersion(t, installed, "1.0.0")
	require.Equal(t, runtime.GOOS != "windows", installed.Keeps())

	awaitTick(t, dir)
	addEntry(t, dir, here(cpu+"-v1.1.0-PLATFORM"), cpu)
	requireVersion(t, installed, "1.1.0")

	newest := filepath.Join(dir, here(cpu+"-v1.1.0-PLATFORM"), exe(cpu))
	require.NoError(t, os.Truncate(newest, 0))
	requireVersion(t, installed, "1.0.0")
	require.NoError(t, os.WriteFile(newest, program(t), 0o755))
	requireVersion(t, installed, "1.1.0")
	require.NoError(t, os.Remove(newest))
	requireVersion(t, installed, "1.0.0")

	awaitTick(t, dir)
	require.NoError(t, os.RemoveAll(old))
	_, _, err := installed.Find(cpu, "")
	require.ErrorAs(t, err, new(*catalog.NotFoundError))

	awaitTick(t, dir)
	require.NoError(t, os.RemoveAll(dir))
	_, _, err = installed.Find(cpu, "")
	require.ErrorAs(t, err, new(*catalog.NotFoundError))
}

// The time of the last modification can be set back; a listing does not rely on it.
func TestModificationTimeSetBack(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
	past := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(dir, past, past))
	installed := catalog.Open(dir)
	installed.SetClock(func() time.Time { return time.Now().Add(time.Minute) })
	requireVersion(t, installed, "1.0.0")
	awaitTick(t, dir)
	addEntry(t, dir, here(cpu+"-v1.1.0-PLATFORM"), cpu)
	require.NoError(t, os.Chtimes(dir, past, past))
	requireVersion(t, installed, "1.1.0")
}

func BenchmarkFind(b *testing.B) {
	for name, clock := range map[string]time.Duration{"kept": time.Hour, "just changed": -time.Hour} {
		b.Run(name, func(b *testing.B) {
			dir := newCatalog(b)
			for _, worker := range []string{cpu, cuda, "llama-server"} {
				for _, version := range []string{"0.1.0", "0.2.0", "0.10.0"} {
					addEntry(b, dir, here(worker+"-v"+version+"-PLATFORM"), worker)
				}
			}
			installed := catalog.Open(dir)
			installed.SetClock(func() time.Time { return time.Now().Add(clock) })
			for b.Loop() {
				if _, _, err := installed.Find(cpu, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// changedAt returns when a directory was changed last.
func changedAt(t *testing.T, dir string) time.Time {
	t.Helper()
	info, err := os.Stat(dir)
	require.NoError(t, err)
	return info.ModTime()
}

func requireVersion(t *testing.T, installed *catalog.Catalog, version string) {
	t.Helper()
	entry, _, err := installed.Find(cpu, "")
	require.NoError(t, err)
	require.Equal(t, version, entry.Version)
}
