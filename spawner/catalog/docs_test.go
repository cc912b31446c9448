package catalog_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

// The manifest of the guide is one, and the guide names every value that a template may hold.
func TestTheGuideShowsAManifest(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/catalog.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(guide), "```json\n")
	require.True(t, found)
	example, _, _ := strings.Cut(rest, "```")
	manifest, err := catalog.DecodeManifest("catalog.md", []byte(example))
	require.NoError(t, err)
	require.Equal(t, "llama-server", manifest.Name)
	for _, name := range append(catalog.Values, catalog.Signals...) {
		require.Contains(t, string(guide), name)
	}
}
