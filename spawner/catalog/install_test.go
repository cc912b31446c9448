package catalog_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

func TestInstall(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	installed := catalog.Open(dir)
	from := source(t, program(t), 0o600) // As downloaded: not executable.
	entry, err := installed.Install(cpu, "1.2.3-rc.1+build", from)
	require.NoError(t, err)
	want := filepath.Join(dir, here(cpu+"-v1.2.3-rc.1+build-PLATFORM-ARCH"))
	require.Equal(t, catalog.Entry{
		Name: cpu, Version: "1.2.3-rc.1+build", OS: runtime.GOOS, Arch: runtime.GOARCH,
		Dir: want, Binary: filepath.Join(want, exe(cpu)),
		Manifest: &catalog.Manifest{Name: cpu, Version: "1.2.3-rc.1+build", SHA256: checksum(program(t))},
	}, entry)
	found, broken, err := installed.Find(cpu, "1.2.3-rc.1+build")
	require.NoError(t, err)
	require.Empty(t, broken)
	require.Equal(t, entry, found)

	content, err := os.ReadFile(entry.Binary)
	require.NoError(t, err)
	require.Equal(t, program(t), content)
	requireNames(t, dir, filepath.Base(want))
	if runtime.GOOS != "windows" {
		requireMode(t, entry.Dir, 0o755)
		requireMode(t, entry.Binary, 0o755)
	}
}

func TestInstallRefusesWhatExists(t *testing.T) {
	t.Parallel()
	from := source(t, program(t), 0o755)
	for name, entry := range map[string]string{"same": "-PLATFORM-ARCH", "other spelling": "-PLATFORM-ALIAS"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newCatalog(t)
			require.NoError(t, os.Mkdir(filepath.Join(dir, here(cpu+"-v1.0.0"+entry)), 0o755)) // Broken, and yet there.
			_, err := catalog.Open(dir).Install(cpu, "1.0.0", from)
			require.ErrorIs(t, err, catalog.ErrExists)
			requireNames(t, dir, here(cpu+"-v1.0.0"+entry))
		})
	}
	dir := newCatalog(t)
	addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
	entry, err := catalog.Open(dir).Install(cpu, "1.0.0", from)
	require.NoError(t, err, "an entry for any architecture leaves room for one for this")
	require.Equal(t, runtime.GOARCH, entry.Arch)
}

func TestInstallRefusesBadNames(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	from := source(t, program(t), 0o755)
	for _, name := range []string{"", ".", "..", ".hidden", "a/b", "../a", "/a", "a-v1.0.0/../../b", "a\x00b"} {
		_, err := catalog.Open(dir).Install(name, "1.0.0", from)
		require.Error(t, err, "%q", name)
		requireOneLine(t, err)
	}
	for _, version := range []string{"", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "latest", "1.0.0/..", "1.0.0-v2.0.0", " 1.0.0"} {
		_, err := catalog.Open(dir).Install(cpu, version, from)
		require.Error(t, err, "%q", version)
	}
	requireNames(t, dir)
}

func TestInstallLeavesNothingBehindWhenItFails(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	tests := map[string]struct {
		from  string
		cause binary.Cause
	}{
		"missing":                       {filepath.Join(dir, "none"), binary.Missing},
		"directory":                     {t.TempDir(), binary.Directory},
		"text":                          {source(t, []byte("text"), 0o755), binary.UnknownFormat},
		"text that could not be seen":   {source(t, []byte("text"), 0o600), binary.UnknownFormat},
		"nothing that could be started": {source(t, nil, 0o600), binary.Empty},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := catalog.Open(dir).Install(cpu, "1.0.0", test.from)
			require.ErrorIs(t, err, test.cause)
			require.ErrorContains(t, err, test.from)
			requireNames(t, dir)
		})
	}
}

func TestInstallByManyAtOnce(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	from := source(t, program(t), 0o755)
	results := make([]error, 8)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { _, results[i] = catalog.Open(dir).Install(cpu, "1.0.0", from) })
	}
	all.Wait()
	var done int
	for _, err := range results {
		if err == nil {
			done++
			continue
		}
		require.ErrorIs(t, err, catalog.ErrExists)
	}
	require.Equal(t, 1, done, "%v", errors.Join(results...))
	requireNames(t, dir, here(cpu+"-v1.0.0-PLATFORM-ARCH"))
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func source(t *testing.T, content []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "download")
	require.NoError(t, os.WriteFile(path, content, mode))
	return path
}

func requireMode(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, mode, info.Mode().Perm())
}

// requireNames requires that a directory holds nothing else.
func requireNames(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	require.Equal(t, strings.Join(names, " "), strings.Join(got, " "))
}
