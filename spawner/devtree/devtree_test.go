package devtree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/devtree"
)

const worker = "cpu-llm-worker-rbee"

func TestRoot(t *testing.T) {
	t.Parallel()
	const member, workspace = "[package]\nname = \"worker\"\n", "[workspace]\nmembers = [\"crates/*\"]\n"
	tests := map[string]struct {
		files map[string]string // Cargo.toml by directory.
		from  string
		want  string // Relative to the tree; empty: none.
		says  string
	}{
		"here":                         {map[string]string{".": workspace}, ".", ".", ""},
		"above":                        {map[string]string{".": workspace}, "crates/worker/src", ".", ""},
		"a member below":               {map[string]string{".": workspace, "crates/worker": member}, "crates/worker", ".", ""},
		"the nearest of two":           {map[string]string{".": workspace, "crates": workspace}, "crates/worker", "crates", ""},
		"not one below":                {map[string]string{"crates": workspace}, ".", "", "no Cargo workspace"},
		"an empty table":               {map[string]string{".": "[workspace]\n"}, ".", ".", ""},
		"dotted keys":                  {map[string]string{".": "workspace.resolver = \"3\"\n"}, ".", ".", ""},
		"only a table in it":           {map[string]string{".": "[workspace.package]\nedition = \"2024\"\n"}, ".", ".", ""},
		"package and workspace":        {map[string]string{".": member + workspace}, ".", ".", ""},
		"a comment":                    {map[string]string{".": "# [workspace]\n" + member}, ".", "", "no Cargo workspace"},
		"text":                         {map[string]string{".": "description = '''\n[workspace]\n'''\n"}, ".", "", "no Cargo workspace"},
		"a key that inherits":          {map[string]string{".": "[package]\nversion.workspace = true\n"}, ".", "", "no Cargo workspace"},
		"no table":                     {map[string]string{".": "workspace = true\n"}, ".", "", "no Cargo workspace"},
		"empty file":                   {map[string]string{".": ""}, ".", "", "no Cargo workspace"},
		"malformed, before the root":   {map[string]string{".": workspace, "crates": "[workspace\n"}, "crates", "", "crates"},
		"a directory that is not made": {map[string]string{".": workspace}, "not/made", ".", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := t.TempDir()
			for dir, content := range test.files {
				put(t, filepath.Join(tree, dir, "Cargo.toml"), content, 0o644)
			}
			root, err := devtree.Root(filepath.Join(tree, test.from))
			if test.want != "" {
				require.NoError(t, err)
				require.Equal(t, filepath.Join(tree, test.want), root)
				return
			}
			require.Empty(t, root)
			require.ErrorContains(t, err, test.says)
			require.Equal(t, test.says == "no Cargo workspace", errors.Is(err, devtree.ErrNoWorkspace))
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestRootOfNothing(t *testing.T) {
	t.Parallel()
	root, err := devtree.Root("")
	require.ErrorIs(t, err, devtree.ErrNoWorkspace)
	require.Empty(t, root)
}

// A Cargo.toml that is a directory is none.
func TestRootPassesOverWhatIsNoFile(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	put(t, filepath.Join(tree, "Cargo.toml"), "[workspace]\n", 0o644)
	require.NoError(t, os.MkdirAll(filepath.Join(tree, "crates", "Cargo.toml"), 0o755))
	root, err := devtree.Root(filepath.Join(tree, "crates"))
	require.NoError(t, err)
	require.Equal(t, tree, root)
}

func TestFind(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		debug, release string // Content; empty: not built.
		profile        string // Empty: not found.
		unsound        []binary.Cause
	}{
		"nothing built":            {"", "", "", nil},
		"debug":                    {program(t), "", "debug", nil},
		"release":                  {"", program(t), "release", nil},
		"both":                     {program(t), program(t), "debug", nil},
		"debug unsound":            {"text", program(t), "release", nil},
		"debug unsound, no other":  {"text", "", "", []binary.Cause{binary.UnknownFormat}},
		"both unsound":             {"text", "\x7fELF", "", []binary.Cause{binary.UnknownFormat, binary.Damaged}},
		"release unsound, no call": {program(t), "text", "debug", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := t.TempDir()
			var paths []string
			for profile, content := range map[string]string{"debug": test.debug, "release": test.release} {
				if content != "" {
					put(t, filepath.Join(tree, "target", profile, exe(worker)), content, 0o755)
				}
			}
			for _, profile := range []string{"debug", "release"} {
				paths = append(paths, filepath.Join(tree, "target", profile, exe(worker)))
			}
			path, profile, tried, err := devtree.Find(tree, worker)
			require.Equal(t, test.profile, profile)
			if test.profile != "" {
				require.NoError(t, err)
				require.Equal(t, path, tried[len(tried)-1])
				require.Equal(t, paths[:len(tried)], tried)
				return
			}
			require.Empty(t, path)
			require.Equal(t, paths, tried)
			requireNotFound(t, err, tried, test.unsound)
		})
	}
}

func requireNotFound(t *testing.T, err error, tried []string, unsound []binary.Cause) {
	t.Helper()
	var notFound *devtree.NotFoundError
	require.ErrorAs(t, err, &notFound)
	require.Equal(t, tried, notFound.Tried)
	require.Len(t, notFound.Unsound, len(unsound))
	require.NotErrorIs(t, err, devtree.ErrNoWorkspace)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	require.NotContains(t, err.Error(), "\n")
	for i, cause := range unsound {
		require.ErrorIs(t, notFound.Unsound[i], cause)
		require.ErrorIs(t, err, cause)
	}
	if len(unsound) == 0 {
		require.ErrorContains(t, err, "cargo build")
		require.ErrorContains(t, err, strings.Join(tried, ", "))
	}
}

func TestFindWithoutWorkspace(t *testing.T) {
	t.Parallel()
	path, profile, tried, err := devtree.Find("", worker)
	require.ErrorIs(t, err, devtree.ErrNoWorkspace)
	require.ErrorAs(t, err, new(*devtree.NotFoundError))
	require.Empty(t, path)
	require.Empty(t, profile)
	require.Empty(t, tried)
}

// A job may name the worker: it never leads out of the directories that Cargo builds into.
func TestFindOfAPath(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	put(t, filepath.Join(tree, "target", "debug", "build", exe(worker)), program(t), 0o755)
	put(t, filepath.Join(tree, exe(worker)), program(t), 0o755)
	for _, name := range []string{"", ".", "..", "../../" + worker, "build/" + worker, "/bin/sh", filepath.Join(tree, worker)} {
		path, _, tried, err := devtree.Find(tree, name)
		require.ErrorAs(t, err, new(*devtree.NotFoundError), name)
		require.NotEmpty(t, err.Error())
		require.Empty(t, path)
		require.Empty(t, tried)
	}
}

func BenchmarkFind(b *testing.B) {
	tree := b.TempDir()
	put(b, filepath.Join(tree, "target", "release", exe(worker)), program(b), 0o755)
	for b.Loop() {
		if _, _, _, err := devtree.Find(tree, worker); err != nil {
			b.Fatal(err)
		}
	}
}

func put(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), mode))
	require.NoError(t, os.Chmod(path, mode))
}

// program returns the content of a file that can be started here.
func program(t testing.TB) string {
	t.Helper()
	if runtime.GOOS != "windows" {
		return "#!/bin/sh\n"
	}
	self, err := os.Executable()
	require.NoError(t, err)
	content, err := os.ReadFile(self)
	require.NoError(t, err)
	return string(content[:min(len(content), 4096)])
}

func exe(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

// Where the umask is 002, a build leaves what the group can write: that is started. What everyone can write is not.
func TestFindTakesWhatABuildLeaves(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // modes do not tell there
	}
	tree := t.TempDir()
	path := filepath.Join(tree, "target", "debug", worker)
	put(t, path, program(t), 0o775)
	found, _, _, err := devtree.Find(tree, worker)
	require.NoError(t, err)
	require.Equal(t, path, found)
	require.NoError(t, os.Chmod(path, 0o777))
	_, _, _, err = devtree.Find(tree, worker)
	require.ErrorIs(t, err, binary.Writable)
}
