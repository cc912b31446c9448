package consumer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wants waits until n places want a slot again.
func (l *line) wants(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.back.Len() == n
	}, time.Minute, time.Millisecond)
}

func mustJoin(t *testing.T, l *line) *place {
	t.Helper()
	p, err := l.join()
	require.NoError(t, err)
	return p
}

// resumed has the job go on and returns what comes of it.
func resumed(ctx context.Context, p *place) <-chan error {
	got := make(chan error, 1)
	go func() { got <- p.resume(ctx) }()
	return got
}

func TestAJobThatGoesOnComesBeforeTheLine(t *testing.T) {
	t.Parallel()
	l := newLine(1, 2)
	builds := mustJoin(t, l)
	goOn := builds.pause()
	require.NoError(t, goOn(t.Context()), "the slot is free")
	goOn = builds.pause()
	first, second := mustJoin(t, l), mustJoin(t, l)
	queue, err := l.stand()
	require.NoError(t, err)

	back := resumed(t.Context(), builds)
	l.wants(t, 1)
	first.end()
	require.NoError(t, <-back)
	require.False(t, granted(second))
	require.False(t, granted(queue))
	require.NoError(t, goOn(t.Context()), "it has a slot")
	builds.end()
	require.True(t, granted(second))
	second.end()
	require.True(t, granted(queue))
	queue.giveBack()
	require.Equal(t, 1, l.free)
	require.Zero(t, l.inFlight)
}

// The queue holds a slot while it waits for a job. Who goes on takes it, and the job that was on its way is next in line.
func TestAJobThatGoesOnTakesTheSlotOfTheQueue(t *testing.T) {
	t.Parallel()
	l := newLine(1, 1)
	builds := mustJoin(t, l)
	goOn := builds.pause()
	lent, err := l.stand()
	require.NoError(t, err)
	require.True(t, granted(lent))
	require.NoError(t, goOn(t.Context()))
	<-lent.recalled
	pulled, err := lent.take()
	require.NoError(t, err)
	require.False(t, granted(pulled))
	lent.giveBack()
	builds.end()
	require.True(t, granted(pulled))
	pulled.end()
	require.Equal(t, 1, l.free)
}

func TestAJobThatGivesUpGoesOnWithoutASlot(t *testing.T) {
	t.Parallel()
	l := newLine(1, 1)
	builds := mustJoin(t, l)
	builds.pause()
	other := mustJoin(t, l)
	late := errors.New("late")
	ctx, cancel := context.WithCancelCause(t.Context())
	back := resumed(ctx, builds)
	l.wants(t, 1)
	cancel(late)
	require.ErrorIs(t, <-back, late)
	l.wants(t, 0)
	builds.end()
	other.end()
	require.NoError(t, builds.resume(t.Context()), "who has ended needs none")
	require.Equal(t, 1, l.free)
	require.Zero(t, l.inFlight)
}

// A hive that stops finishes what it began, with the slot too that it had lent to the queue.
func TestJobsGoOnOnceTheLineIsClosed(t *testing.T) {
	t.Parallel()
	l := newLine(1, 1)
	first := mustJoin(t, l)
	first.pause()
	second := mustJoin(t, l)
	second.pause()
	lent, err := l.stand()
	require.NoError(t, err)
	require.Equal(t, 2, l.close())
	require.NoError(t, first.resume(t.Context()))
	back := resumed(t.Context(), second)
	l.wants(t, 1)
	lent.giveBack()
	first.end()
	require.NoError(t, <-back)
	second.end()
	<-l.idle
	require.Equal(t, 1, l.free)
}

// Whatever pauses, goes on, gives up, comes new or is pulled meanwhile: never are more at work than there are slots, nobody waits
// for ever, and no slot is lost.
func TestAllWhoWaitedForABuildStartWithinBounds(t *testing.T) {
	t.Parallel()
	const slots, jobs = 3, 300
	l := newLine(slots, jobs)
	var atWork, peak atomic.Int64
	work := func() {
		n := atWork.Add(1)
		for top := peak.Load(); n > top && !peak.CompareAndSwap(top, n); top = peak.Load() {
		}
		time.Sleep(50 * time.Microsecond)
		atWork.Add(-1)
	}
	built := make(chan struct{})
	var paused sync.WaitGroup
	var group sync.WaitGroup
	for i := range jobs {
		p := mustJoin(t, l)
		paused.Add(1)
		group.Go(func() {
			defer p.end()
			assertNil(t, p.wait(time.Time{}))
			work()
			goOn := p.pause()
			paused.Done()
			<-built
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%10 == 0 {
				cancel()
			}
			if err := goOn(ctx); err == nil {
				work()
			} else if i%10 != 0 {
				t.Error(err)
			}
		})
	}
	paused.Wait()
	stop := make(chan struct{})
	var queue sync.WaitGroup
	queue.Go(func() { // as pullJobs does
		for {
			select {
			case <-stop:
				return
			default:
			}
			lent, err := l.stand()
			assertNil(t, err)
			<-lent.turn
			job, err := lent.take()
			assertNil(t, err)
			lent.giveBack()
			assertNil(t, job.wait(time.Time{}))
			work()
			job.end()
		}
	})
	close(built)
	group.Wait()
	close(stop)
	queue.Wait()
	require.Equal(t, slots, l.free)
	require.Zero(t, l.inFlight)
	require.LessOrEqual(t, peak.Load(), int64(slots))
	require.Greater(t, peak.Load(), int64(1))
}

func assertNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
