package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Read returns the packages below root that have a Go file which is no test, sorted by path. It reads the files itself
// instead of asking the go command: so it sees the files of every system, and the test cache notices each change.
func Read(root string) ([]Package, error) {
	imports := map[string]map[string]bool{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if file != root && ignored(file) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		dir = filepath.ToSlash(dir)
		if imports[dir] == nil {
			imports[dir] = map[string]bool{}
		}
		return addImports(imports[dir], file)
	})
	if err != nil {
		return nil, fmt.Errorf("read the packages of %s: %w", root, err)
	}
	var packages []Package
	for _, dir := range slices.Sorted(maps.Keys(imports)) {
		packages = append(packages, Package{Path: dir, Imports: slices.Sorted(maps.Keys(imports[dir]))})
	}
	return packages, nil
}

// ignored reports whether the go command passes over a directory: by its name, or because another module begins there.
func ignored(dir string) bool {
	switch base := filepath.Base(dir); {
	case strings.HasPrefix(base, "."), strings.HasPrefix(base, "_"), base == "testdata", base == "vendor":
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func addImports(set map[string]bool, file string) error {
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		set[imported] = true
	}
	return nil
}
