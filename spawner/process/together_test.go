//go:build linux

package process_test

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Ends and failures are written without a lock, by two processes of a hive at once, too: whoever reads them finds the whole of one.
func TestWhatIsWrittenTogetherIsWhole(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	claim := m.claim(t, "w1")
	require.NoError(t, claim.Prepare([]byte(`{"n":1}`)))
	claim.Release()
	require.NoError(t, m.run.AddExit("w1", "first"))
	require.ErrorIs(t, m.run.AddExit("w1", "second"), fs.ErrExist)
	require.NoError(t, m.run.WriteFailure("w1", "first"))
	const page = 4096 // more than one, so that writing it takes more than one step
	var group sync.WaitGroup
	defer group.Wait()
	for writer := range 4 {
		group.Go(func() {
			text := strings.Repeat("x", page*(writer+1))
			for range 100 {
				if m.run.WriteExit("w1", text) != nil || m.run.WriteFailure("w1", text) != nil {
					t.Error("it could not be written")
				}
			}
		})
	}
	for range 400 {
		var text string
		require.NoError(t, m.run.ReadExit("w1", &text))
		require.NoError(t, m.run.ReadFailure("w1", &text))
	}
	group.Wait()
	dir := filepath.Join(m.run.Path(), "workers", "w1")
	left, err := filepath.Glob(filepath.Join(dir, "*.new*"))
	require.NoError(t, err)
	require.Empty(t, left)

	// What a crash left goes with the worker.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "exit.json.new.12.34"), nil, 0o600))
	nobody := func(string) bool { return false }
	removed, err := m.run.Sweep(0, math.MaxInt64, nobody, nobody)
	require.NoError(t, err)
	require.Equal(t, 1, removed)
}
