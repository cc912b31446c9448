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

	late, err := lent.take()
	require.NoError(t, err, "its job came all the same, and is the next in line")
	lent.giveBack()
	require.False(t, granted(late))
	request.end()
	require.True(t, granted(late))
	require.False(t, granted(second))
	late.end()
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
	_, err = lent.take()
	require.ErrorIs(t, err, errClosed)
	lent.giveBack()
	_, err = l.stand()
	require.ErrorIs(t, err, errClosed)
}

// Where more jobs wait, a pull gets further slots, and gives way to requests all the same.
func TestAWidenedPlaceHoldsASlotForEachJob(t *testing.T) {
	t.Parallel()
	l := newLine(4, 0)
	lent, err := l.stand()
	require.NoError(t, err)
	require.Equal(t, 3, lent.widen(10))
	require.Zero(t, l.free)

	request, err := l.join()
	require.NoError(t, err)
	require.True(t, granted(request), "a slot without a job is the request's")
	<-lent.recalled
	second, err := l.join()
	require.NoError(t, err)
	require.True(t, granted(second))

	for range 2 {
		job, err := lent.take()
		require.NoError(t, err)
		require.True(t, granted(job))
		defer job.end()
	}
	_, err = l.join()
	require.ErrorIs(t, err, errFull, "no slot is left to be taken away")
	late, err := lent.take()
	require.NoError(t, err)
	require.False(t, granted(late), "more jobs came than slots were left")
	lent.giveBack()
	request.end()
	require.True(t, granted(late))
	late.end()
	second.end()
	require.Equal(t, 2, l.free)
}

func TestSlotsThatGotNoJobAreGivenBack(t *testing.T) {
	t.Parallel()
	l := newLine(4, 2)
	first, err := l.join()
	require.NoError(t, err)
	lent, err := l.stand()
	require.NoError(t, err)
	require.Equal(t, 1, lent.widen(1))
	require.Equal(t, 1, l.free, "for one further job, one further slot")
	lent.giveBack()
	require.Zero(t, lent.widen(1), "a place that was given back gets none")
	first.end()
	require.Equal(t, 4, l.free)
	require.Nil(t, l.lent)
}
