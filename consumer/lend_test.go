package consumer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// granted reports whether the place has its turn.
func granted(p *place) bool {
	select {
	case <-p.turn:
		return p.verdict == nil
	default:
		return p.turn == nil
	}
}

func TestALentSlotIsTheFirstRequestsThatFindsNoOther(t *testing.T) {
	t.Parallel()
	l := newLine(1, 2)
	lent, err := l.stand()
	require.NoError(t, err)
	require.True(t, granted(lent))
	running, waiting := l.load()
	require.Equal(t, []int{0, 0}, []int{running, waiting}, "a place without a job is none")

	request, err := l.join()
	require.NoError(t, err)
	require.True(t, granted(request))
	<-lent.recalled
	second, err := l.join()
	require.NoError(t, err)

	require.NoError(t, lent.take(), "its job came all the same, and is the next in line")
	require.False(t, granted(lent))
	request.end()
	require.True(t, granted(lent))
	require.False(t, granted(second))
	lent.end()
	require.True(t, granted(second))
	second.end()
	require.Equal(t, 1, l.free)
}

func TestTheQueueTakesItsTurnInLine(t *testing.T) {
	t.Parallel()
	l := newLine(1, 1)
	first, err := l.join()
	require.NoError(t, err)
	lent, err := l.stand()
	require.NoError(t, err)
	second, err := l.join()
	require.NoError(t, err, "the queue's place takes none of those for requests")
	_, err = l.join()
	require.ErrorIs(t, err, errFull)

	first.end()
	require.True(t, granted(lent))
	require.True(t, lent.crowded())
	third, err := l.join()
	require.ErrorIs(t, err, errFull, "the slot is not taken away while others wait for it")
	require.Nil(t, third)
	lent.giveBack()
	require.True(t, granted(second))
	second.end()
	require.Equal(t, 1, l.free)
}

func TestAClosedLineTakesNoJobOfTheQueue(t *testing.T) {
	t.Parallel()
	l := newLine(1, 1)
	lent, err := l.stand()
	require.NoError(t, err)
	require.Zero(t, l.close())
	<-lent.recalled
	<-l.idle
	require.ErrorIs(t, lent.take(), errClosed)
	lent.giveBack()
	_, err = l.stand()
	require.ErrorIs(t, err, errClosed)
}
