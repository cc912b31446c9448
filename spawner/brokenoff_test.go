//go:build linux

package spawner_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// held returns which files of the hive's directories this process has open.
func (h *hive) held() (paths []string) {
	h.t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(h.t, err)
	for _, entry := range entries {
		path, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err == nil && strings.HasPrefix(path, filepath.Dir(h.cfg.RunDir)) {
			paths = append(paths, path)
		}
	}
	return paths
}

// A start that breaks off before there is a process leaves no lock, no port, no open program and no directory, at whichever step that is.
func TestAStartThatBreaksOffLeavesNothing(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	steps := []messages.Action{
		messages.ActionSpawnStart, messages.ActionTypeDetermined, messages.ActionBinaryCatalog, messages.ActionBinaryFound, messages.ActionSpawnCommand,
	}
	port := h.cfg.Ports.First
	breaks := map[string]func(cancel context.CancelFunc){
		"interrupted": func(cancel context.CancelFunc) { cancel() },
		"panics":      func(context.CancelFunc) { panic("a fault") },
	}
	for how, breakOff := range breaks {
		for _, step := range steps {
			ctx, cancel := context.WithCancel(t.Context())
			j := job("job-1", "live")
			j.Port = port
			err := func() (err error) {
				defer func() {
					if recover() != nil {
						err = messages.Errorf(messages.Internal, "a fault")
					}
				}()
				_, err = h.Spawn(ctx, j, func(e messages.Event) {
					if e.Action == step {
						breakOff(cancel)
					}
				}, holdsNothing)
				return err
			}()
			cancel()
			require.Error(t, err, "%s at %s", how, step)
			left, err := os.ReadDir(filepath.Join(h.cfg.RunDir, "workers"))
			require.NoError(t, err)
			require.Empty(t, left, "%s at %s", how, step)
			// What a child that is forked in this moment has a copy of, this process has not.
			require.Eventually(t, func() bool { return len(h.held()) == 0 }, patience, time.Millisecond, "%s at %s: %q", how, step, h.held())
		}
	}
	j := job("job-1", "live")
	j.Port = port
	require.Nil(t, h.spawn(j).err)
}

// The consumer looks at the deadline before a job begins; a device, a program or another start may take long after that.
func TestAJobWhoseDeadlinePassesOnTheWayStartsNothing(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	j := job("job-1", "live")
	j.Deadline = time.Now()
	got := h.spawn(j)
	require.ErrorIs(t, got.err, messages.DeadlineExceeded)
	require.False(t, got.err.Retryable)
	require.NotContains(t, got.actions(), messages.ActionSpawned)
	left, err := os.ReadDir(filepath.Join(h.cfg.RunDir, "workers"))
	require.NoError(t, err)
	require.Empty(t, left)
}
