package catalog_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

// choice returns the directory of the entry that is chosen, or "" for none.
func choice(t require.TestingT, dir, version string) string {
	entry, _, err := catalog.Open(dir).Find(cpu, version)
	if err != nil {
		require.ErrorAs(t, err, new(*catalog.NotFoundError))
		return ""
	}
	return filepath.Base(entry.Dir)
}

// expected chooses in the plainest way there is: it looks at all and keeps the best.
func expected(entries []string, version string) string {
	var best string
	var highest *semver.Version
	for _, entry := range entries {
		text, platform, _ := strings.Cut(entry, "-PLATFORM")
		if strings.HasSuffix(entry, "-OTHER") || (version != "" && text != version) {
			continue
		}
		v := semver.MustParse(text)
		if version == "" && v.Prerelease() != "" {
			continue
		}
		if highest == nil || v.GreaterThan(highest) || (v.Equal(highest) && platform != "") {
			best, highest = here(cpu+"-v"+entry), v
		}
	}
	return best
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
