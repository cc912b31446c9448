package catalog

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What is read from a name is all of it: name, version and platform put together again are the directory.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{
		"cpu-llm-worker-rbee-v0.1.0-linux", "w-v1.0.0-rc.1+b-macos-arm64", "w-v2-v1.0.0-windows-x86_64", "-v1.0.0-linux",
		"w-vlatest-linux", ".install-1", "w-v1.0.0-linux-linux", "-v", "", "linux", "-linux-amd64",
	} {
		f.Add(dir)
	}
	f.Fuzz(func(t *testing.T, dir string) {
		found, ours := parse(dir)
		if !ours || found.version == nil {
			require.Empty(t, found.name)
			return
		}
		require.NotEmpty(t, found.name)
		require.Equal(t, runtime.GOOS, found.os)
		platform, ok := strings.CutPrefix(dir, found.name+"-v"+found.version.String()+"-")
		require.True(t, ok)
		system, arch, _ := strings.Cut(platform, "-")
		require.Equal(t, found.os, strings.Replace(system, "macos", "darwin", 1))
		require.Equal(t, found.arch, goArch(arch))
	})
}

// The order of choice does not depend on the order in which a directory is read.
func TestCompareIsATotalOrder(t *testing.T) {
	t.Parallel()
	dirs := rapid.StringMatching(`(w|w-v2)-v[01]\.0\.0(-rc|\+[ab])?-(linux|darwin|macos|windows)(-amd64|-x86_64|-arm64|-aarch64)?`)
	rapid.Check(t, func(t *rapid.T) {
		var all []candidate
		for _, dir := range rapid.SliceOfNDistinct(dirs, 0, 12, rapid.ID).Draw(t, "dirs") {
			if found, ours := parse(dir); ours && found.version != nil {
				all = append(all, found)
			}
		}
		again := rapid.Permutation(all).Draw(t, "again")
		slices.SortFunc(all, compare)
		slices.SortFunc(again, compare)
		require.Equal(t, all, again)
	})
}
