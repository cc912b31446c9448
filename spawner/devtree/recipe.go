package devtree

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// recipeFile says how a worker is built that Cargo does not build.
const recipeFile = "worker.json"

// recipe is what a worker.json says about building. Its other fields are for the catalog.
type recipe struct {
	binary  string   // below the directory of the file
	build   []string // the command and its arguments
	sources []string // files and directories, absolute; empty means everything below the directory
}

// readRecipe returns the recipe in dir; nil if there is no worker.json, or one that names no build command.
func readRecipe(dir, name string) (*recipe, error) {
	path := filepath.Join(dir, recipeFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, fmt.Errorf("read %s: %s", path, atLine(content, err))
	}
	if all["build"] == nil {
		return nil, nil
	}
	r, err := recipeOf(dir, name, all)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

func recipeOf(dir, name string, all map[string]json.RawMessage) (*recipe, error) {
	var own, binary string
	var build, sources []string
	for field, into := range map[string]any{"name": &own, "binary": &binary, "build": &build, "sources": &sources} {
		if value := all[field]; value != nil {
			if err := json.Unmarshal(value, into); err != nil || bytes.Equal(bytes.TrimSpace(value), []byte("null")) {
				return nil, fmt.Errorf("%s: is %s; use %s", field, clip(string(value), 40), wants(into))
			}
		}
	}
	switch {
	case own != "" && own != name:
		return nil, fmt.Errorf("name: is %s, not %s, which is to be built here", own, name)
	case binary == "":
		return nil, errors.New("binary: is missing: name the file that build makes, relative to this directory")
	case !filepath.IsLocal(binary) || filepath.Clean(binary) == ".":
		return nil, fmt.Errorf("binary: is %q; use a path below this directory, where build puts the file", binary)
	case len(build) == 0 || build[0] == "":
		return nil, errors.New(`build: is empty; use the command and its arguments, such as ["go", "build", "-o", "dist/worker", "."]`)
	case slices.Contains(sources, ""):
		return nil, errors.New("sources: holds an empty path")
	}
	for i, path := range sources {
		sources[i] = under(dir, path)
	}
	return &recipe{binary: filepath.FromSlash(binary), build: build, sources: sources}, nil
}

func wants(into any) string {
	if _, ok := into.(*string); ok {
		return "a text"
	}
	return "a list of texts"
}

// atLine says where in content the error of a JSON decoder is.
func atLine(content []byte, err error) string {
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return "it must be one JSON object"
	}
	before := content[:min(int(max(syntax.Offset-1, 0)), len(content))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d: %v", line, column, syntax)
}

// clip cuts text to about n bytes.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
