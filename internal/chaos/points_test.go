//go:build linux

package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// The table has every point that the code has, once, and docs/delivery.md names each.
func TestPointsAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	var inCode []string
	for _, room := range []string{"consumer", "spawner"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, room), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".go") {
				inCode = append(inCode, pointsIn(t, path)...)
			}
			return err
		}))
	}
	inTable := make([]string, len(points))
	for i, p := range points {
		inTable[i] = p.name
		for _, first := range p.first {
			_, ok := pointNamed(first)
			require.True(t, ok, first)
		}
		require.Positive(t, p.least, p.name)
		require.LessOrEqual(t, p.least, len(p.models()), p.name)
	}
	require.ElementsMatch(t, inCode, inTable)

	text, err := os.ReadFile(filepath.Join(root, "docs", "delivery.md"))
	require.NoError(t, err)
	for _, name := range inTable {
		require.True(t, strings.Contains(string(text), "`"+name+"`"), "docs/delivery.md does not name %s", name) //nolint:testifylint // the page is long
	}
}

// pointsIn returns the names of the points of a file.
func pointsIn(t *testing.T, path string) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || selector.Sel.Name != "Point" {
			return true
		}
		if room, ok := selector.X.(*ast.Ident); ok && room.Name == "fault" {
			literal, ok := call.Args[0].(*ast.BasicLit)
			require.True(t, ok, "%s: a point has a literal name", path)
			name, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			names = append(names, name)
		}
		return true
	})
	return names
}

// A hive that is built as usual has no point in it: neither its name nor its code.
func TestPointsCostNothing(t *testing.T) {
	t.Parallel()
	for tags, there := range map[string]bool{"": false, "chaos": true} {
		binary := filepath.Join(t.TempDir(), "rbee-hive")
		build := exec.Command("go", "build", "-tags", tags, "-o", binary, root+"/cmd/rbee-hive")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
		code, err := os.ReadFile(binary)
		require.NoError(t, err)
		for _, p := range points {
			require.Equal(t, there, bytes.Contains(code, []byte(p.name)), "%s, with tags %q", p.name, tags)
		}
		require.Equal(t, there, bytes.Contains(code, []byte("RBEE_FAULT")), "with tags %q", tags)
		symbols, err := exec.Command("go", "tool", "nm", binary).Output()
		require.NoError(t, err)
		require.Equal(t, there, bytes.Contains(symbols, []byte("internal/fault.Point")), "with tags %q", tags)
	}
}
