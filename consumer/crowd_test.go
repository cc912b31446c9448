package consumer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Jobs that wait for their workers hold no slot, and are bounded all the same.
func TestJobsThatWaitForTheirWorkersAreBounded(t *testing.T) {
	t.Parallel()
	l := newLine(1, 0)
	places := make([]*place, mostInFlight)
	for i := range places {
		var err error
		places[i], err = l.join()
		require.NoError(t, err)
		require.NoError(t, places[i].wait(time.Time{}))
		places[i].release()
	}
	_, err := l.join()
	require.ErrorIs(t, err, errCrowded)
	deletes := make([]*place, mostInFlight)
	for i := range deletes {
		deletes[i], err = l.pass()
		require.NoError(t, err, "who ends a worker makes room")
	}
	_, err = l.pass()
	require.ErrorIs(t, err, errCrowded)
	for _, p := range deletes {
		p.end()
	}
	places[0].end()
	_, err = l.join()
	require.NoError(t, err)
}
