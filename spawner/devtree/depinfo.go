package devtree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// depInfo returns the sources that Cargo says a program was made of: those of the crate and all its path dependencies, what
// they include from elsewhere, and what their build scripts look at. It returns none if Cargo left no such file.
//
// The file is what make(1) reads, "program: source source …", with a backslash before each space of a name.
func depInfo(program, root string) ([]string, error) {
	path := strings.TrimSuffix(program, ".exe") + ".d"
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var sources []string
	for line := range strings.Lines(string(content)) {
		_, names, found := strings.Cut(strings.TrimRight(line, "\r\n"), ": ") // no name has that unescaped, not even C:\name
		if !found {
			continue
		}
		for _, name := range splitNames(names) {
			sources = append(sources, under(root, name)) // relative where build.dep-info-basedir says so
		}
	}
	return sources, nil
}

// splitNames splits at the spaces that have no backslash before them. A backslash before anything else is itself.
func splitNames(text string) []string {
	var names []string
	var name strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == ' ':
			i++
			name.WriteByte(' ')
		case text[i] == ' ':
			if name.Len() > 0 {
				names = append(names, name.String())
			}
			name.Reset()
		default:
			name.WriteByte(text[i])
		}
	}
	if name.Len() > 0 {
		names = append(names, name.String())
	}
	return names
}

// configs returns the files at and above dir that decide how Cargo builds there, whether they exist or not.
func configs(dir, cargoHome string) []string {
	var files []string
	for {
		for _, name := range []string{".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain"} {
			files = append(files, filepath.Join(dir, filepath.FromSlash(name)))
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	if cargoHome != "" {
		files = append(files, filepath.Join(cargoHome, "config.toml"), filepath.Join(cargoHome, "config"))
	}
	return files
}
