package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// agedLogs makes a directory of logs, the first the newest, each an hour older than the one before.
func agedLogs(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range names {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		written := time.Now().Add(-time.Duration(i) * time.Hour)
		require.NoError(t, os.Chtimes(path, written, written))
	}
	return dir
}

func TestSweep(t *testing.T) {
	t.Parallel()
	logs := []string{"a.log", "b.log", "c.log", "d.log"}
	for name, test := range map[string]struct {
		retention Retention
		living    []string
		want      []string // what is left
	}{
		"the default":             {Retention{}, nil, logs},
		"a number":                {Retention{Files: 2}, nil, logs[:2]},
		"an age":                  {Retention{Age: 90 * time.Minute}, nil, logs[:2]},
		"both":                    {Retention{Files: 1, Age: 90 * time.Minute}, nil, logs[:1]},
		"none old enough":         {Retention{Files: 4, Age: 30 * time.Hour}, nil, logs},
		"no bound":                {Retention{Files: -1, Age: -1}, nil, logs},
		"any number of an age":    {Retention{Files: -1, Age: 150 * time.Minute}, nil, logs[:3]},
		"any age of a number":     {Retention{Files: 3, Age: -1}, nil, logs[:3]},
		"the living do not count": {Retention{Files: 2}, []string{"a.log"}, logs[:3]},
		"the living stay":         {Retention{Files: 1}, []string{"d.log"}, []string{"a.log", "d.log"}},
		"the old living stay":     {Retention{Age: time.Minute}, []string{"c.log"}, []string{"a.log", "c.log"}},
		"all live":                {Retention{Files: 1, Age: time.Minute}, logs, logs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := agedLogs(t, logs...)
			living := func(path string) bool {
				require.Equal(t, dir, filepath.Dir(path))
				return slices.Contains(test.living, filepath.Base(path))
			}
			removed, err := Sweep(dir, test.retention, living)
			require.NoError(t, err)
			require.Equal(t, len(logs)-len(test.want), removed)
			require.Equal(t, test.want, names(t, dir))
		})
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestTheDefaultsOfSweep(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 250 {
		many = append(many, fmt.Sprintf("%03d.log", i))
	}
	dir := agedLogs(t, many...)
	dead := func(string) bool { return false }
	removed, err := Sweep(dir, Retention{Age: -1}, dead)
	require.NoError(t, err)
	require.Equal(t, 50, removed, "of 250")
	removed, err = Sweep(dir, Retention{}, dead)
	require.NoError(t, err)
	require.Equal(t, 200-7*24, removed, "those of the last 7 days stay")
	require.Equal(t, many[:7*24], names(t, dir))
}

func TestSweepRemovesOnlyLogs(t *testing.T) {
	t.Parallel()
	dir := agedLogs(t, "new.log", "old.log", "old.txt", "log", "target")
	require.NoError(t, os.Symlink(filepath.Join(dir, "target"), filepath.Join(dir, "symlink.log")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "dir.log"), 0o700))
	removed, err := Sweep(dir, Retention{Files: 1, Age: time.Minute}, func(string) bool { return false })
	require.NoError(t, err)
	require.Equal(t, 1, removed)
	require.Equal(t, []string{"dir.log", "log", "new.log", "old.txt", "symlink.log", "target"}, names(t, dir))

	_, err = Sweep(filepath.Join(dir, "none"), Retention{}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestProgress(t *testing.T) {
	t.Parallel()
	path := write(t, "one\n")
	written := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, os.Chtimes(path, written, written))
	size, at, err := Progress(path)
	require.NoError(t, err)
	require.Equal(t, int64(4), size)
	require.True(t, written.Equal(at))
	extend(t, path, "two\n")
	size, at, err = Progress(path)
	require.NoError(t, err)
	require.Equal(t, int64(8), size)
	require.True(t, at.After(written))
}
