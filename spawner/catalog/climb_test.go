package catalog_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

func TestClimbs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		template, model string
		want            bool
	}{
		"a plain name":                {"/srv/models/${model}.gguf", "org/model-7b.Q4..K", false},
		"up":                          {"/srv/models/${model}.gguf", "../../etc/shadow", true},
		"up behind a name":            {"/srv/models/${model}", "a/../../b", true},
		"up at the end":               {"/srv/models/${model}", "a/..", true},
		"up, as Windows writes it":    {"/srv/models/${model}", `..\..\secret`, true},
		"absolute stays below":        {"/srv/models/${model}", "/etc/shadow", false},
		"three dots are a name":       {"/srv/models/${model}", ".../x", false},
		"a dot from each":             {"/srv/models/.${model}", "./x", true},
		"a dot from behind":           {"/srv/models/${model}./x", "a/.", true},
		"left to an adapter":          {"/srv/models/$${model}.gguf", "../x", true},
		"behind a flag":               {"--model=/srv/${model}", "../x", true},
		"a relative directory":        {"models/${model}", "../x", true},
		"a URL":                       {"http://h/v1/${model}", "../x", true},
		"the entry's directory":       {"${entry_dir}${model}", "/../x", true},
		"the template's own":          {"/srv/../models/${model}", "a/b", false},
		"the whole value":             {"${model}", "../x", false},
		"the whole value of a flag":   {"--model=${model}", "../x", false},
		"a file of the working place": {"${model}.gguf", "../x", false},
		"not at all":                  {"/srv/models/x.gguf", "../x", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &catalog.Manifest{Args: []string{"--model", test.template}}
			place, template := m.Climbs(test.model)
			if !test.want {
				require.Empty(t, place)
				require.Empty(t, template)
				return
			}
			require.Equal(t, []string{"args[1]", test.template}, []string{place, template})
			m = &catalog.Manifest{Env: catalog.Env{Set: map[string]string{"A": "x", "MODEL": test.template}}}
			place, _ = m.Climbs(test.model)
			require.Equal(t, "env.set.MODEL", place)
		})
	}
	place, _ := (*catalog.Manifest)(nil).Climbs("../x")
	require.Empty(t, place)
}

// Whatever does not climb is a path below the directory.
func TestWhatDoesNotClimbStaysBelow(t *testing.T) {
	t.Parallel()
	m := &catalog.Manifest{Args: []string{"/srv/models/${model}.gguf"}}
	part := rapid.SampledFrom([]string{".", "..", "/", "a", "...", "", "${model}", "$"})
	rapid.Check(t, func(t *rapid.T) {
		model := strings.Join(rapid.SliceOfN(part, 0, 12).Draw(t, "model"), "")
		if place, _ := m.Climbs(model); place != "" {
			return
		}
		path, err := catalog.Expand(m.Args[0], func(string) (string, error) { return model, nil })
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(filepath.ToSlash(filepath.Clean(path)), "/srv/models/"), path)
	})
}
