package messages_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// constants returns the values of the exported constants of a string type, as the source of the package declares them, so
// that a test of all of them meets the ones to come.
func constants(tb testing.TB, typeName string) []string {
	tb.Helper()
	files, err := source()
	require.NoError(tb, err)
	var values []string
	for _, file := range files {
		for _, decl := range file.Decls {
			values = append(values, declared(tb, decl, typeName)...)
		}
	}
	require.NotEmpty(tb, values, "no constants of type %s", typeName)
	return values
}

// source parses the files of the package, tests left out, once.
var source = sync.OnceValues(func() ([]*ast.File, error) {
	names, err := filepath.Glob("*.go")
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, parseErr := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		files, err = append(files, file), errors.Join(err, parseErr)
	}
	return files, err
})

// declared returns the values of the constants of type typeName in decl.
func declared(tb testing.TB, decl ast.Decl, typeName string) []string {
	tb.Helper()
	group, ok := decl.(*ast.GenDecl)
	if !ok || group.Tok != token.CONST {
		return nil
	}
	var values []string
	for _, spec := range group.Specs {
		spec := spec.(*ast.ValueSpec)
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != typeName || !spec.Names[0].IsExported() {
			continue
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		require.NoError(tb, err)
		values = append(values, value)
	}
	return values
}
