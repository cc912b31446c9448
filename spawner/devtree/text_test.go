package devtree_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/spawner/devtree"
)

// Cargo puts a backslash before each space of a name, and before nothing else.
func TestNamesOfDepInfoComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOf(rapid.StringMatching(`[a-zäC: /\\.]*[a-zä/.]`)).Draw(t, "names")
		var escaped []string
		for _, name := range names {
			escaped = append(escaped, strings.ReplaceAll(name, " ", `\ `))
		}
		for _, name := range names {
			if strings.Contains(name, `\ `) {
				return // what Cargo writes for it means two things
			}
		}
		require.Equal(t, names, append([]string{}, devtree.SplitNames(strings.Join(escaped, " "))...))
	})
}

func FuzzParseStamp(f *testing.F) {
	f.Add([]byte("rbee-hive build stamp 1\n\"cargo build\"\n1:2:3:0\n1:2:3:4 \"/src/main.rs\"\n- \"/Cargo.lock\"\n? \"/x\"\n"))
	f.Add([]byte("rbee-hive build stamp 1\n\"\"\n-\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, content []byte) {
		stamp, err := devtree.ParseStamp(content)
		require.Equal(t, err == nil, stamp != nil)
	})
}
