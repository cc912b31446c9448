//go:build linux

package spawner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// What is not installed is told with the whole command that installs it.
func TestNotInstalledNamesTheCommand(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.CatalogDir += " of mine" })
	h.install("server", "2.0.0")
	add := func(worker, version string) string {
		return "install it with `rbee-hive catalog add FILE --name " + worker + " --version " + version + " --catalog-dir '" + h.cfg.CatalogDir + "'`, or as one of "
	}
	for name, test := range map[string]struct{ worker, version, says string }{
		"any version":            {"nobody", "", add("nobody", "1.0.0")},
		"a version":              {"server", "b6795", "these versions are: 2.0.0; " + add("server", "b6795")},
		"what can be no version": {"server", "latest", "no version can be called that (want a semantic version such as 1.2.3, or a build's name such as b6795): install one with `rbee-hive catalog add FILE --name server --version 1.0.0 --catalog-dir '" + h.cfg.CatalogDir + "'`, and ask for it"},
	} {
		t.Run(name, func(t *testing.T) {
			j := job("missing", "live")
			j.Worker, j.Version = test.worker, test.version
			got := h.spawn(j)
			require.ErrorIs(t, got.err, messages.WorkerNotInstalled)
			require.Contains(t, got.err.Message, test.says)
		})
	}
}

// A program that a job found changed is chosen by nobody who lists the catalog, and is told with what to do.
func TestCatalogTellsWhatIsKnownToBeChanged(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.install("w", "1.0.0")
	changed := h.entry("w", "2.0.0")
	require.NoError(t, os.WriteFile(changed, []byte("#!/bin/sh\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(changed), catalog.ManifestName), []byte(`{"sha256":"`+strings.Repeat("0", 64)+`"}`), 0o644))
	j := job("refused", "live")
	j.Worker, j.Version = "w", "2.0.0"
	told := map[string]messages.CatalogEntry{}
	require.Eventually(t, func() bool { // what was written a moment ago is not remembered
		refused := h.spawn(j).err
		page, err := h.Catalog(t.Context(), messages.CatalogRequest{})
		if refused == nil || refused.Code != messages.ChecksumMismatch || err != nil {
			return false
		}
		for _, entry := range page.Entries {
			if entry.Worker == "w" {
				told[entry.Version] = entry
			}
		}
		return told["2.0.0"].Problem != ""
	}, time.Minute, 10*time.Millisecond)
	require.Contains(t, told["2.0.0"].Problem, "it was changed since it was installed; remove the version with `rbee-hive catalog rm w 2.0.0 ")
	require.False(t, told["2.0.0"].Chosen)
	require.True(t, told["1.0.0"].Chosen)
}
