//go:build linux

package process_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/process"
)

// However often a record is replaced, whoever reads it finds a whole one, and notices that it was replaced.
func TestReplacedRecordIsAlwaysThere(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	claim := m.claim(t, "w1")
	defer claim.Release()
	started := process.Started{Identity: process.Identity{PID: 12345, StartTicks: 6, BootID: "b"}, At: time.Now().UTC().Truncate(0)}
	text := strings.Repeat("text ", 4000) // of more than one page, so that writing it takes more than one step
	body := func(n int) []byte { return []byte(`{"n":` + strconv.Itoa(n) + `,"text":"` + text + `"}`) }
	require.NoError(t, claim.Prepare(body(1)))
	require.NoError(t, claim.Commit(started))
	require.NoError(t, claim.Replace(started, body(1)))

	replaced := make(chan error, 1)
	go func() {
		for n := 2; n < 300; n++ {
			if err := claim.Replace(started, body(n)); err != nil {
				replaced <- err
				return
			}
		}
		replaced <- nil
	}()
	for last := 0; ; {
		var got struct {
			Process process.Started
			N       int
			Text    string
		}
		before, err := m.run.Stamp("w1")
		require.NoError(t, err)
		require.NoError(t, m.run.ReadRecord("w1", &got))
		require.Equal(t, started, got.Process)
		require.Equal(t, text, got.Text)
		require.GreaterOrEqual(t, got.N, last)
		last = got.N
		select {
		case err := <-replaced:
			require.NoError(t, err)
			after, err := m.run.Stamp("w1")
			require.NoError(t, err)
			require.NoError(t, m.run.ReadRecord("w1", &got))
			require.Equal(t, 299, got.N)
			require.True(t, last == 299 || before != after)
			return
		default:
		}
	}
}
