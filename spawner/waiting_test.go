//go:build linux

package spawner_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// attempt is one call of Spawn that goes on beside the test.
type attempt struct {
	waiting, goOn chan struct{} // told of each
	done          chan struct{}
	said          chan messages.Event
	result        messages.Result
	err           *messages.Error
}

// begin has the builder run the job.
func (b *builder) begin(group *sync.WaitGroup, j messages.Job) *attempt {
	a := &attempt{waiting: make(chan struct{}, 10), goOn: make(chan struct{}, 10), done: make(chan struct{}), said: make(chan messages.Event, 100)}
	group.Go(func() {
		defer close(a.done)
		result, err := b.Spawn(b.t.Context(), j, func(e messages.Event) {
			if e.Action == messages.ActionSpawned {
				b.started(e.Fields.PID)
			}
			a.said <- e
		}, func() func(context.Context) error {
			a.waiting <- struct{}{}
			return func(context.Context) error { a.goOn <- struct{}{}; return nil }
		})
		a.result = result
		if err != nil {
			a.err = messages.AsError(err)
		}
	})
	return a
}

// The same job again, while its worker is built: it takes no slot, and it gets the answer of the first, however long that takes.
func TestTheSameJobWaitsForItsBuild(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	b.plays("await built")
	var group sync.WaitGroup
	first := b.begin(&group, job("a", "live"))
	<-first.waiting
	again := b.begin(&group, job("a", "live"))
	<-again.waiting
	e := <-again.said
	require.Equal(t, messages.ActionAutoRebuild, e.Action)
	require.Equal(t, "Waiting: the same job has its worker built already", e.Human)
	require.Empty(t, first.goOn)

	late := job("a", "live")
	late.Deadline = time.Now().Add(30 * time.Millisecond)
	refused := b.begin(&group, late)
	<-refused.done
	require.ErrorIs(t, refused.err, messages.DeadlineExceeded)

	b.put("built", "")
	group.Wait()
	require.Nil(t, first.err)
	require.Len(t, first.goOn, 1, "it took a slot again before it started the worker")
	require.Nil(t, again.err)
	require.Equal(t, first.result.PID, again.result.PID)
	require.Equal(t, []bool{false, true}, []bool{first.result.Replayed, again.result.Replayed})
	require.Equal(t, 1, b.ran())
}

func TestTheSameJobFailsWithItsBuild(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	b.plays("await built", "say error: it is wrong", "fail")
	var group sync.WaitGroup
	first := b.begin(&group, job("a", "live"))
	<-first.waiting
	again := b.begin(&group, job("a", "live"))
	<-again.waiting
	b.put("built", "")
	group.Wait()
	require.ErrorIs(t, first.err, messages.BuildFailed)
	require.Equal(t, first.err, again.err)
	require.Empty(t, again.goOn, "there was nothing to go on with")
	require.Equal(t, 1, b.ran(), "it was not built a second time")
}

// If the first gives up, the second goes on in its place.
func TestTheSameJobGoesOnWhereTheFirstGaveUp(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	b.plays("await built")
	var group sync.WaitGroup
	var first *attempt
	for limit, begun := 300*time.Millisecond, false; !begun; limit *= 2 { // so that it comes to wait, however slow the machine is
		impatient := job("a", "live")
		impatient.Deadline = time.Now().Add(limit)
		first = b.begin(&group, impatient)
		select {
		case <-first.waiting:
			begun = true
		case <-first.done:
			require.ErrorIs(t, first.err, messages.DeadlineExceeded)
			begun = len(first.waiting) > 0
		}
	}
	again := b.begin(&group, job("a", "live"))
	<-again.waiting
	<-first.done
	require.ErrorIs(t, first.err, messages.DeadlineExceeded)
	require.Contains(t, first.err.Message, "was built")
	b.put("built", "")
	group.Wait()
	require.Nil(t, again.err)
	require.False(t, again.result.Replayed)
}
