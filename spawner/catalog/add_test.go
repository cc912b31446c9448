//go:build unix

package catalog_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// tree makes a directory with files; those whose names end in * are executable, and "-> target" is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "release")
	require.NoError(t, os.Mkdir(dir, 0o777))
	for name, content := range files {
		bare := strings.TrimSuffix(name, "*")
		path := filepath.Join(dir, bare)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		if target, link := strings.CutPrefix(content, "-> "); link {
			require.NoError(t, os.Symlink(target, path))
			continue
		}
		mode := os.FileMode(0o666)
		if bare != name {
			mode = 0o777
		}
		require.NoError(t, os.WriteFile(path, []byte(content), mode))
		require.NoError(t, os.Chmod(path, mode))
	}
	return dir
}

func TestAddADirectory(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	from := tree(t, map[string]string{
		"bin/llama-server*": string(program(t)), "lib/libllama.so.1": "library", "lib/libllama.so": "-> libllama.so.1",
		"worker.json": `{"name":"llama-server","binary":"bin/llama-server","args":[],"files":["lib/libllama.so"]}`,
	})
	installed := catalog.Open(dir)
	entry, err := installed.Add(t.Context(), catalog.Addition{From: from, Version: "b6795"})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, here("llama-server-vb6795-PLATFORM-ARCH")), entry.Dir)
	require.Equal(t, filepath.Join(entry.Dir, "bin", "llama-server"), entry.Binary)
	require.Equal(t, &catalog.Manifest{
		Name: "llama-server", Version: "b6795", Binary: "bin/llama-server", SHA256: checksum(program(t)), Args: []string{},
		Files: []string{"lib/libllama.so"},
	}, entry.Manifest)
	requireMode(t, entry.Binary, 0o755)
	requireMode(t, filepath.Join(entry.Dir, "lib", "libllama.so.1"), 0o644)
	requireMode(t, filepath.Join(entry.Dir, "lib"), 0o755)
	target, err := os.Readlink(filepath.Join(entry.Dir, "lib", "libllama.so"))
	require.NoError(t, err)
	require.Equal(t, "libllama.so.1", target)
	choice, broken, err := installed.Choose(t.Context(), "llama-server", "")
	require.NoError(t, err)
	require.Empty(t, broken)
	choice.Program.Close()

	_, err = installed.Add(t.Context(), catalog.Addition{From: from, Version: "b6795"})
	require.ErrorIs(t, err, catalog.ErrExists, "an entry never changes")
}

func TestAddAManifestAlone(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	from := tree(t, map[string]string{"worker.json": `{"name":"vllm","version":"0.11.0","binary":"/bin/sh","args":["serve","${model}"]}`})
	entry, err := catalog.Open(dir).Add(t.Context(), catalog.Addition{From: filepath.Join(from, "worker.json"), AnyArch: true})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, here("vllm-v0.11.0-PLATFORM")), entry.Dir)
	require.Equal(t, "/bin/sh", entry.Binary)
	require.Empty(t, entry.Manifest.SHA256, "what the system updates is not compared unless its manifest says so")
}

func TestAddRefusesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	sh := string(program(t))
	for what, test := range map[string]struct {
		files         map[string]string
		name, version string
		says          string
	}{
		"no program":            {map[string]string{"README": "hi"}, "w", "1.0.0", "or name the program in its worker.json, as binary"},
		"no name":               {map[string]string{"w*": sh}, "", "1.0.0", "want a name: give --name, or write it into its worker.json"},
		"neither":               {map[string]string{"w*": sh}, "", "", `release": want a name and a version: give --name and --version, or write them into its worker.json`},
		"no version":            {map[string]string{"w*": sh}, "w", "", "want a semantic version or a build's name: give --version, or write it into its worker.json"},
		"another name":          {map[string]string{"w*": sh, "worker.json": `{"name":"x"}`}, "w", "1.0.0", "name: is x; leave the field out"},
		"a mistake":             {map[string]string{"w*": sh, "worker.json": `{"xame":"x"}`}, "w", "1.0.0", "release/worker.json:1:2: xame"},
		"another checksum":      {map[string]string{"w*": sh, "worker.json": `{"sha256":"` + strings.Repeat("0", 64) + `"}`}, "w", "1.0.0", "has the checksum"},
		"a missing file":        {map[string]string{"w*": sh, "worker.json": `{"files":["x"]}`}, "w", "1.0.0", "release/worker.json: needs x"},
		"a link out":            {map[string]string{"w*": sh, "lib/x": "-> ../../x"}, "w", "1.0.0", "leads out of what is installed"},
		"a link from the root":  {map[string]string{"w*": sh, "x": "-> /etc/passwd"}, "w", "1.0.0", "leads out of what is installed"},
		"a program as text":     {map[string]string{"w*": "text"}, "w", "1.0.0", "release/w: is neither a program nor a script"},
		"a program not to run":  {map[string]string{"w": sh}, "w", "1.0.0", "release/w: is not executable"},
		"a link to nothing":     {map[string]string{"w": "-> none"}, "w", "1.0.0", "release/w: is a symbolic link to none"},
		"a name of a directory": {map[string]string{"w*": sh}, "../w", "1.0.0", "want a name"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := newCatalog(t)
			_, err := catalog.Open(dir).Add(t.Context(), catalog.Addition{From: tree(t, test.files), Name: test.name, Version: test.version})
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), ".install-", "what is gone when it is read helps nobody")
			requireOneLine(t, err)
			requireNames(t, dir)
		})
	}
	dir := newCatalog(t)
	for _, above := range []string{dir, filepath.Dir(dir), "/"} {
		_, err := catalog.Open(dir).Add(t.Context(), catalog.Addition{From: above, Name: "w", Version: "1.0.0"})
		require.ErrorContains(t, err, "the catalog lies in ")
	}
	text := filepath.Join(t.TempDir(), "w.json")
	require.NoError(t, os.WriteFile(text, []byte("{}"), 0o644))
	_, err := catalog.Open(dir).Add(t.Context(), catalog.Addition{From: text, Name: "w", Version: "1.0.0"})
	require.ErrorContains(t, err, "a manifest is called worker.json: rename it")
	_, err = catalog.Open(dir).Add(t.Context(), catalog.Addition{From: filepath.Join(dir, "none"), Name: "w", Version: "1.0.0"})
	require.ErrorIs(t, err, binary.Missing)
	require.ErrorContains(t, err, "none: there is no such file")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = catalog.Open(dir).Add(ended, catalog.Addition{From: tree(t, map[string]string{"w*": sh}), Name: "w", Version: "1.0.0"})
	require.ErrorIs(t, err, context.Canceled)
	requireNames(t, dir)
}

// What a crash left is no entry, and goes with the next installation.
func TestWhatACrashLeftIsSweptOut(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	for _, name := range []string{".install-old", ".remove-old", ".install-new", ".notes"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, "bin"), 0o755))
	}
	past := time.Now().Add(-25 * time.Hour)
	for _, name := range []string{".install-old", ".remove-old", ".notes"} {
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), past, past))
	}
	installed := catalog.Open(dir)
	entries, broken, err := installed.List()
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Empty(t, broken)
	_, err = installed.Install(cpu, "1.0.0", source(t, program(t), 0o755))
	require.NoError(t, err)
	requireNames(t, dir, ".install-new", ".notes", here(cpu+"-v1.0.0-PLATFORM-ARCH"))
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := newCatalog(t)
	addEntry(t, dir, here(cpu+"-v1.0.0-PLATFORM"), cpu)
	addEntry(t, dir, here(cpu+"-v2.0.0-PLATFORM"), cpu)
	require.NoError(t, os.Mkdir(filepath.Join(dir, here(cpu+"-v2.0.0-PLATFORM-ARCH")), 0o755)) // Broken.
	installed := catalog.Open(dir)
	dirs, err := installed.Dirs(cpu, "2.0.0")
	require.NoError(t, err)
	require.Len(t, dirs, 2)
	_, err = installed.Remove(cpu, "2.0.0", false)
	require.NoError(t, err)
	requireNames(t, dir, here(cpu+"-v1.0.0-PLATFORM"))
	requireVersion(t, installed, "1.0.0")
	_, err = installed.Remove(cpu, "2.0.0", false)
	require.ErrorAs(t, err, new(*catalog.NotFoundError))
	_, err = catalog.Open(filepath.Join(dir, "none")).Remove(cpu, "1.0.0", false)
	require.ErrorAs(t, err, new(*catalog.NotFoundError))
}
