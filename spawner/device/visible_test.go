package device

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	var cards []Found
	for i, uuid := range []string{"GPU-aaaa1111", "GPU-aaaa2222", "GPU-bbbb3333", ""} {
		cards = append(cards, Found{Device: Device{Kind: CUDA, Index: i}, UUID: uuid})
	}
	const mig = "MIG-377e0049-554c-540b-93c6-d0976f8426cb"
	for visible, test := range map[string]struct {
		want    []string
		problem bool
	}{
		"0,1,2,3":              {want: []string{"cuda:0", "cuda:1", "cuda:2", "cuda:3"}},
		"3, 1":                 {want: []string{"cuda:1", "cuda:3"}}, // each keeps its number
		"GPU-bbbb3333,0":       {want: []string{"cuda:0", "cuda:2"}},
		"GPU-b":                {want: []string{"cuda:2"}},
		"1,1":                  {want: []string{"cuda:1"}},
		"0,2,-1,1":             {want: []string{"cuda:0", "cuda:2"}},
		"-1":                   {},
		"":                     {},
		"0,7,1":                {want: []string{"cuda:0"}, problem: true},
		"GPU-aaaa":             {problem: true}, // of two cards
		"NoDevFiles":           {problem: true},
		"GPU-":                 {problem: true},
		mig:                    {want: []string{"cuda:0=" + mig}},
		mig + ",MIG-GPU-a/1/0": {want: []string{"cuda:0=" + mig, "cuda:1=MIG-GPU-a/1/0"}},
	} {
		f := &Finder{cfg: Config{Visible: &visible}}
		report := Report{Whole: true}
		var got []string
		for _, found := range f.visible(cards, &report) {
			name := found.String()
			if found.MIG {
				name += "=" + found.UUID
			}
			got = append(got, name)
		}
		require.Equal(t, test.want, got, visible)
		require.Equal(t, test.problem, len(report.Problems) > 0, "%s: %v", visible, report.Problems)
	}
	require.Equal(t, cards, (&Finder{}).visible(cards, &Report{}))
}
