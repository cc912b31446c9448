package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/devtree"
)

func TestBuilds(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	require.Empty(t, Examine(t.Context(), cfg).all("catalog", "build"), "it is not on")

	root, bin := t.TempDir(), t.TempDir()
	cfg.Build = &devtree.Options{Root: root, Environ: []string{"PATH=" + bin + ":/bin:/usr/bin", "HOME=" + bin}}
	requireBuild := func(want ...line) {
		t.Helper()
		found := examiner{Config: cfg}.builds(t.Context())
		require.Len(t, found, len(want), "%v", found)
		for i, check := range found {
			require.Equal(t, want[i].status, check.Status, "%v", check)
			require.Contains(t, check.Message, want[i].message)
			require.Equal(t, check.Status == OK, check.Advice == "", "%v", check)
		}
	}
	put := func(path, text string, mode os.FileMode) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		require.NoError(t, os.Chmod(path, mode))
	}
	requireBuild(line{Warning, "there is no source of any worker"})

	put(filepath.Join(root, "Cargo.toml"), "[workspace]\nmembers = [\"bin/*\"]\n", 0o644)
	dir := filepath.Join(root, "bin", "30_cpu_llm_worker_rbee")
	put(filepath.Join(dir, "Cargo.toml"), "[package]\nname = \"cpu-llm-worker-rbee\"\n", 0o644)
	cfg.Build.Environ[0] = "PATH=" + bin
	source := line{OK, "cpu-llm-worker-rbee is built from " + dir + " by cargo"}
	requireBuild(source, line{Failure, "cargo is not installed: it is not in the PATH of the hive (" + bin + ")"})

	put(filepath.Join(bin, "cargo"), "#!/bin/sh\necho \"cargo 1.2.3 ($RUSTUP_AUTO_INSTALL)\"\n", 0o755)
	requireBuild(source, line{OK, "cargo 1.2.3 (0), at " + filepath.Join(bin, "cargo")})
	check := Examine(t.Context(), cfg).one(t, "catalog", "cargo")
	require.Equal(t, OK, check.Status)
	put(filepath.Join(bin, "broken"), "#!/bin/sh\necho no toolchain; exit 1\n", 0o755)
	require.NoError(t, os.Rename(filepath.Join(bin, "broken"), filepath.Join(bin, "cargo")))
	requireBuild(source, line{Failure, "--version: exit status 1: no toolchain"})

	require.NoError(t, os.Chmod(dir, 0o777))
	requireBuild(line{Failure, "can be written by everyone"})
	cfg.Build.Sources = map[string]string{"cpu-llm-worker-rbee": filepath.Join(root, "nowhere")}
	requireBuild(line{Failure, "nowhere"})
}
