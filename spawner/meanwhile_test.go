//go:build linux

package spawner_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// Who deletes a worker that was started under the id of one that is just being deleted means the new one: to be told that the old one has
// gone would be no answer.
func TestDeleteOfAWorkerWhosePredecessorIsBeingDeleted(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	old := h.run("w", "code:0", "obedient")
	second := make(chan ended, 1)
	var next told
	first := h.del(t.Context(), deleteJob("first", "w"), func(e messages.Event) {
		if e.Action != messages.ActionDeleteSigterm {
			return
		}
		assert.Eventually(t, func() bool { return zombie(old.PID) || syscall.Kill(old.PID, 0) != nil }, 10*time.Second, time.Millisecond)
		next = h.spawn(called("w", "job-next", "live")) // while the first delete has not seen that the old one has gone
		go func() { second <- h.del(context.WithoutCancel(t.Context()), deleteJob("second", "w"), nil) }()
		select {
		case got := <-second:
			second <- got
		case <-time.After(10 * time.Second):
			assert.Fail(t, "the second delete waits for the first")
		}
	})
	require.Nil(t, next.err)
	got := <-second
	require.Nil(t, got.err)
	require.Equal(t, next.result.PID, got.answer.PID)
	require.False(t, next.result.Replayed)
	require.Nil(t, first.err)
	require.Equal(t, old.PID, first.answer.PID)
	require.Empty(t, h.list(false))
}

// Two processes of a hive may see one worker end, and only its parent is told how it did: who is late must not hide that. (Here both are
// one process, so that either may be the one who is told.)
func TestEndIsKeptAsItsParentSawIt(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"who found it is late": true, "who started it is late": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHive(t, nil)
			got := h.run("w", "live", "playing")
			other := &hive{t: t, cfg: h.cfg, exited: make(chan messages.Event, 1)}
			other.cfg.Exited = func(e messages.Event) { other.exited <- e }
			other.open()
			t.Cleanup(other.stop)
			first, second := h, other
			if !late {
				first, second = other, h
			}
			releaseFirst, releaseSecond := sync.OnceFunc(first.HoldEnds()), sync.OnceFunc(second.HoldEnds())
			defer releaseSecond()
			defer releaseFirst()
			require.NoError(t, syscall.Kill(got.PID, syscall.SIGKILL))
			releaseFirst()
			one := <-first.exited
			releaseSecond()
			two := <-second.exited
			require.ElementsMatch(t, []string{"SIGKILL", ""}, []string{one.Fields.Signal, two.Fields.Signal})
			require.Equal(t, "SIGKILL", h.get("w").Signal)

			next := h.spawn(called("w", "job-next", "live"))
			require.Nil(t, next.err)
			require.NoError(t, syscall.Kill(next.result.PID, syscall.SIGINT))
			require.Equal(t, "SIGINT", (<-h.exited).Fields.Signal)
			require.Equal(t, "SIGINT", h.get("w").Signal, "the end of the next one takes its place")
		})
	}
}

// A start that builds its program first has the worker's lock for long. Another job for the same worker waits for that, also where an
// earlier worker of that id has ended: nothing that this left behind has the lock.
func TestAnotherJobForAWorkerThatIsBuiltIsNoConflict(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	old := b.spawn(called("w", "old", "live"))
	require.Nil(t, old.err)
	require.NoError(t, syscall.Kill(old.result.PID, syscall.SIGKILL))
	<-b.exited
	b.put("bin/30_cpu_llm_worker_rbee/src/main.rs", "fn main() { todo!() }\n")
	b.plays("await built")
	var group sync.WaitGroup
	defer group.Wait()
	defer b.put("built", "")
	next := b.begin(&group, called("w", "next", "live"))
	<-next.waiting

	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond) // it is looked at after half a second
	defer cancel()
	_, err := b.Spawn(ctx, called("w", "another", "live"), func(messages.Event) {}, holdsNothing)
	require.ErrorIs(t, err, messages.HiveDraining, "it waits as long as the hive lets it")
	b.put("built", "")
	<-next.done
	require.Nil(t, next.err)
}

// A job that waited for its worker long after that was started knows nothing of a build that another job has begun for the same id.
func TestTheEndOfAJobEndsNoBuildOfAnother(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	loading := called("w", "old", "serve:never")
	loading.Wait = messages.WaitReady
	var group sync.WaitGroup
	defer group.Wait()
	defer b.put("built", "")
	old := b.begin(&group, loading)
	worker := 0
	for e := range old.said {
		if e.Action == messages.ActionSpawned {
			worker = e.Fields.PID
			break
		}
	}
	b.put("bin/30_cpu_llm_worker_rbee/src/main.rs", "fn main() { todo!() }\n")
	b.plays("await built")
	release := sync.OnceFunc(b.HoldEnds())
	defer release()
	_ = syscall.Kill(worker, syscall.SIGKILL)
	require.Eventually(t, func() bool { return zombie(worker) || syscall.Kill(worker, 0) != nil }, 10*time.Second, time.Millisecond)
	next := called("w", "next", "live")
	first := b.begin(&group, next)
	<-first.waiting
	<-old.done
	release()
	require.ErrorIs(t, old.err, messages.WorkerExited)
	again := b.begin(&group, next)
	<-again.waiting
	require.Contains(t, (<-again.said).Human, "the same job has its worker built already")
	b.put("built", "")
	<-again.done
	require.Nil(t, again.err)
	require.True(t, again.result.Replayed)
}

// A job that was answered when its worker was ready gets that answer again, however its worker has ended since.
func TestJobThatWaitedForAReadyWorkerGetsItsAnswerAgain(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	first := h.spawn(readyJob("j", "serve:ready"))
	require.Nil(t, first.err)
	require.NoError(t, syscall.Kill(first.result.PID, syscall.SIGKILL))
	<-h.exited
	want := first.result
	want.Replayed, want.Ended = true, true
	for range 2 {
		again := h.spawn(readyJob("j", "serve:ready"))
		require.Nil(t, again.err)
		require.Equal(t, want, again.result)
	}
	require.Nil(t, h.Lost(first.result.WorkerID), "who read its record before it was answered does not take the answer back")
	require.Nil(t, h.spawn(readyJob("j", "serve:ready")).err)
}

// Another job that does not wait for so much is answered sooner. That answers only itself.
func TestWhoWaitsForLessAnswersNoOther(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	loading := called("w", "j", "serve:die")
	loading.Wait, loading.ReadyTimeoutMS = messages.WaitReady, 1
	require.ErrorIs(t, h.spawn(loading).err, messages.NotReady)
	require.Nil(t, h.spawn(called("w", "other", "serve:die")).err)
	loading.ReadyTimeoutMS = 0
	for range 2 {
		got := h.spawn(loading)
		require.ErrorIs(t, got.err, messages.WorkerExited, "it was never ready")
	}
}

// Who waits for the same job tells the same end, with all that is known of it.
func TestOneJobThatWaitsTwiceTellsOneEnd(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	second := make(chan *messages.Error, 1)
	var once sync.Once
	_, err := h.Spawn(t.Context(), readyJob("j", "serve:never"), func(e messages.Event) {
		if e.Action != messages.ActionSpawned {
			return
		}
		once.Do(func() {
			go func() {
				_, err := h.Spawn(context.WithoutCancel(t.Context()), readyJob("j", "serve:never"), func(e messages.Event) {
					if e.Action == messages.ActionSpawnReplayed {
						_ = syscall.Kill(e.Fields.PID, syscall.SIGKILL)
					}
				}, holdsNothing)
				second <- messages.AsError(err)
			}()
		})
	}, holdsNothing)
	require.ErrorIs(t, err, messages.WorkerExited)
	got := <-second
	require.ErrorIs(t, got, messages.WorkerExited)
	require.Equal(t, "SIGKILL", got.Signal)
}

// A hive that is killed right behind the line that says which process it started has not said yet that the port is this process's. The next
// one says so: a worker may let go of the port's lock long before it listens.
func TestAWorkerThatIsFoundAgainHasItsPort(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Ports.Last = c.Ports.First })
	got := h.run("w", "close", "closed")
	require.NoError(t, os.Truncate(filepath.Join(h.cfg.RunDir, "ports", strconv.Itoa(got.Port)), 0))
	h.reopen()
	require.ErrorIs(t, h.spawn(called("other", "j", "live")).err, messages.NoFreePort)
}
