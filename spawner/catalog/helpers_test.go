package catalog_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
)

func newCatalog(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "workers")
	require.NoError(t, os.Mkdir(dir, 0o700))
	return dir
}

// addEntry makes an entry that is sound but for its name and returns its directory.
func addEntry(t require.TestingT, catalog, entry, name string) string {
	dir := filepath.Join(catalog, entry)
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, exe(name))
	require.NoError(t, os.WriteFile(path, program(t), 0o755))
	require.NoError(t, os.Chmod(path, 0o755))
	return dir
}

// program returns the content of a file that can be started here.
func program(t require.TestingT) []byte {
	if runtime.GOOS != "windows" {
		return []byte("#!/bin/sh\n")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	content, err := os.ReadFile(self)
	require.NoError(t, err)
	return content[:min(len(content), 4096)]
}

func exe(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

// here fills in what stands for this platform, and for others, in the name of an entry.
func here(entry string) string {
	alias := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	others := slices.DeleteFunc([]string{"linux", "macos", "windows"}, func(system string) bool {
		return strings.Replace(system, "macos", "darwin", 1) == runtime.GOOS
	})
	return strings.NewReplacer("PLATFORM", runtime.GOOS, "ARCH", runtime.GOARCH, "ALIAS", alias, "OTHER", others[0]).Replace(entry)
}

// awaitTick returns when a change of dir bears another time than the last one.
func awaitTick(t *testing.T, dir string) {
	t.Helper()
	clock := filepath.Join(filepath.Dir(dir), "clock")
	changed := func() time.Time {
		require.NoError(t, os.WriteFile(clock, []byte("tick"), 0o600))
		info, err := os.Stat(clock)
		require.NoError(t, err)
		return info.ModTime()
	}
	for start := changed(); !changed().After(start); {
		runtime.Gosched()
	}
}

func requireOneLine(t require.TestingT, err error) {
	require.NotEmpty(t, err.Error())
	require.False(t, strings.ContainsFunc(err.Error(), unicode.IsControl), "%q", err.Error())
}
