package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCatalog(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	entries := func() []Check {
		return examiner{Config: cfg}.run(t.Context(), "catalog", probe{name: "entries", run: lines(examiner{Config: cfg}.entries())})
	}

	found := entries()
	require.Len(t, found, 1)
	require.Equal(t, Warning, found[0].Status)
	require.Contains(t, found[0].Message, "does not exist: no job finds a worker")
	require.Contains(t, found[0].Advice, filepath.Join(cfg.CatalogDir, "cpu-llm-worker-rbee-v<version>-"+runtime.GOOS, "cpu-llm-worker-rbee"))

	require.NoError(t, os.Mkdir(cfg.CatalogDir, 0o755))
	found = entries()
	require.Equal(t, Warning, found[0].Status)
	require.Contains(t, found[0].Message, "holds no worker")

	cfg.install(t, "cpu-llm-worker-rbee", 0o755)
	found = entries()
	require.Equal(t, []Check{{Area: "catalog", Name: "entries", Status: OK, Message: cfg.CatalogDir + ": cpu-llm-worker-rbee 1.0.0"}}, found)

	cfg.install(t, "cuda-llm-worker-rbee", 0o777)
	cfg.install(t, "other-worker", 0o644)
	found = entries()
	require.Len(t, found, 3)
	require.Equal(t, OK, found[0].Status)
	for i, want := range []struct{ message, advice string }{
		{"can be written by everyone (mode 0777), who could replace what is started", "run chmod go-w on it"},
		{"other-worker", "chmod"},
	} {
		require.Equal(t, "broken", found[i+1].Name)
		require.Equal(t, Warning, found[i+1].Status)
		require.Contains(t, found[i+1].Message, want.message)
		require.Contains(t, found[i+1].Advice, want.advice)
	}

	require.NoError(t, os.Chmod(cfg.CatalogDir, 0o777))
	found = entries()
	require.Len(t, found, 1)
	require.Equal(t, Failure, found[0].Status)
	require.Contains(t, found[0].Message, "can be written by everyone")
	require.Equal(t, "run chmod go-w on it", found[0].Advice)

	cfg.CatalogDir = ""
	require.Equal(t, Warning, entries()[0].Status)
}

func TestManyBrokenEntriesAreCounted(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	for i := range mostBroken + 5 {
		cfg.install(t, fmt.Sprintf("worker-%02d", i), 0o600)
	}
	found := examiner{Config: cfg}.entries()
	require.Len(t, found, mostBroken+2)
	require.Equal(t, "and 5 more", found[mostBroken+1].Message)
}

func TestDevRoot(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	require.Empty(t, Examine(t.Context(), cfg).all("catalog", "dev_root"), "it is not set")

	cfg.DevRoot = t.TempDir()
	check := Examine(t.Context(), cfg).one(t, "catalog", "dev_root")
	require.Equal(t, Failure, check.Status)
	require.Contains(t, check.Message, "serve does not start: no Cargo workspace")

	require.NoError(t, os.WriteFile(filepath.Join(cfg.DevRoot, "Cargo.toml"), []byte("[workspace]\n"), 0o600))
	check = Examine(t.Context(), cfg).one(t, "catalog", "dev_root")
	require.Equal(t, OK, check.Status)
	require.Contains(t, check.Message, cfg.DevRoot)
}

func TestAPinOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	cfg.install(t, "w", 0o755)
	require.NoError(t, os.WriteFile(filepath.Join(cfg.CatalogDir, "pins.json"), []byte(`{"w":"9.0.0"}`), 0o644))
	found := examiner{Config: cfg}.entries()
	require.Len(t, found, 2)
	require.Equal(t, []any{"pin", Failure}, []any{found[1].Name, found[1].Status})
	require.Contains(t, found[1].Message, "w is pinned to 9.0.0, which is not installed: its jobs fail")
	require.Equal(t, "install it, or run `rbee-hive catalog unpin w`", found[1].Advice)
}
