//go:build linux

package spawner_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner"
)

// notes is a log that several goroutines write.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(line []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(line)
}

// count returns how many lines say both.
func (n *notes) count(one, other string) (lines int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for line := range strings.Lines(n.text.String()) {
		if strings.Contains(line, one) && strings.Contains(line, other) {
			lines++
		}
	}
	return lines
}

// Whoever lists the workers every second must not fill the log with a record that somebody broke.
func TestABrokenRecordIsToldOnce(t *testing.T) {
	t.Parallel()
	var log notes
	h := newHive(t, func(c *spawner.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	h.run("stays", "live", "playing")
	breaks := func(worker, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(h.dir(worker), "worker.json"), []byte(text), 0o600))
	}
	h.run("torn", "live", "playing")
	h.run("other", "live", "playing")
	breaks("torn", `{"process":`)
	breaks("other", `{"process":`)
	const said = "record of a worker cannot be read; it is passed over"
	for range 5 {
		require.Equal(t, []string{"stays"}, ids(h.list(true)))
		require.Equal(t, 1, h.Living())
	}
	require.Equal(t, 1, log.count(said, "worker=torn"))
	require.Equal(t, 1, log.count(said, "worker=other"))

	breaks("torn", `[1]`) // and in another way
	for range 5 {
		require.Equal(t, []string{"stays"}, ids(h.list(true)))
	}
	require.Equal(t, 2, log.count(said, "worker=torn"))
	require.Equal(t, 1, log.count(said, "worker=other"))
}
