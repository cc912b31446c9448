//go:build linux

package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// The same seed makes the same plan, and every plan can be played.
func TestPlans(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs", "delivery.md"))
	require.NoError(t, err)
	for _, about := range kinds {
		require.True(t, strings.Contains(string(page), "| `"+string(about)+"` |"), "docs/delivery.md does not name %s", about) //nolint:testifylint // the page is long
		acts := map[string]bool{}
		for seed := range uint64(300) {
			p := draw(about, rand.New(rand.NewPCG(seed, 0)))
			require.Equal(t, p, draw(about, rand.New(rand.NewPCG(seed, 0))))
			requirePlayable(t, p)
			for _, a := range p.acts {
				acts[string(a.net)] = true
				acts["server"] = acts["server"] || a.kills
				acts["term"] = acts["term"] || a.term
				acts["stop"] = acts["stop"] || a.stop
			}
		}
		want := map[string]bool{"": true, "cut": true, "halved": true, "held": true, "term": true, "stop": true, "server": about != inVain && about != crowd}
		require.Equal(t, want, acts, about)
	}
}

func requirePlayable(t *testing.T, p plan) {
	t.Helper()
	names, ports := map[string]bool{}, map[int]bool{}
	for i, j := range p.jobs {
		require.NoError(t, messages.CheckID(j.id))
		require.False(t, names[j.id], j.id)
		names[j.id] = true
		require.Less(t, j.behind, i, j.id)
		require.True(t, j.port == 0 || !ports[j.port], j.id)
		ports[j.port] = true
		require.LessOrEqual(t, j.port, squattable)
		require.True(t, !j.squat || j.port > 0, j.id)
	}
	for _, a := range p.acts {
		require.Less(t, a.hive, p.hives)
		require.True(t, a.net == sound || p.lossy)
	}
}
