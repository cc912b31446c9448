package catalog

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestReleasesInOrder(t *testing.T) {
	t.Parallel()
	// From the lowest to the highest.
	order := []string{
		"a1", "b1", "b2", "b10", "b999", "b6795", "b6795.1", "b6795.2", "b6796", "r3", "r12.3",
		"0.0.1-alpha", "0.0.1", "0.9.0", "0.10.0-rc.1", "0.10.0-rc.2", "0.10.0", "0.10.0+cu121", "0.10.0+cu126", "1.0.0", "10.0.0",
	}
	var releases []*release
	for _, text := range order {
		r, err := parseRelease(text)
		require.NoError(t, err, text)
		require.Equal(t, text, r.String())
		releases = append(releases, r)
	}
	require.True(t, slices.IsSortedFunc(releases, compareReleases))
	for _, text := range []string{"", "1", "1.2", "v1.2.3", "v12", "V1", "b", "6795", "b-1", "b1-rc1", "b1.", "latest", "b1x", "b1/2", "1.2.3.4", "0.11.0rc1", "bx1y"} {
		_, err := parseRelease(text)
		require.Error(t, err, text)
	}
}

// The order of versions is total: it does not depend on which two are compared first, and no two texts are equal in it.
func TestTheOrderOfReleasesIsTotal(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(
		rapid.StringMatching(`(0|1|10)\.(0|2|10)\.(0|3)(-(alpha|rc\.(1|2|10)))?(\+(a|b1))?`),
		rapid.StringMatching(`[abB]{1,2}0?[0-9]{1,3}([._][0-9]{1,2})?`),
	)
	draw := func(t *rapid.T) *release {
		r, err := parseRelease(text.Draw(t, "release"))
		require.NoError(t, err)
		return r
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := draw(t), draw(t), draw(t)
		require.Equal(t, -compareReleases(b, a), compareReleases(a, b))
		require.Equal(t, a.text == b.text, compareReleases(a, b) == 0, "%s %s", a, b)
		if compareReleases(a, b) <= 0 && compareReleases(b, c) <= 0 {
			require.LessOrEqual(t, compareReleases(a, c), 0, "%s %s %s", a, b, c)
		}
	})
}
