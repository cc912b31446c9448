//go:build linux

package spawner_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

// twoDeletes deletes the worker, once more as soon as it has been signalled, and returns how both ended. joined is told of what the
// second job tells.
func twoDeletes(t *testing.T, h *hive, grace, second time.Duration, joined func(messages.Event)) (one, other ended) {
	t.Helper()
	others := make(chan ended, 1)
	job := deleteJob("first", "w")
	job.GraceMS = grace.Milliseconds()
	one = h.del(t.Context(), job, func(e messages.Event) {
		if e.Action == messages.ActionDeleteSigterm {
			go func() {
				job := deleteJob("second", "w")
				job.GraceMS = second.Milliseconds()
				others <- h.del(context.WithoutCancel(t.Context()), job, joined)
			}()
		}
	})
	return one, <-others
}

func TestASecondDeleteCanHurryTheFirst(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "stubborn", "deaf")
	began := time.Now()
	first, second := twoDeletes(t, h, 10*time.Minute, time.Millisecond, nil)
	require.Less(t, time.Since(began), time.Minute)
	require.Nil(t, first.err)
	require.Nil(t, second.err)

	require.Equal(t, []messages.Action{
		messages.ActionDeleteStart, messages.ActionDeleteSigterm, messages.ActionDeleteHurried, messages.ActionDeleteSigkill,
	}, first.actions(), "one SIGTERM, and its own story says why SIGKILL came so early")
	require.Equal(t, int64(600_000), first.events[0].Fields.GraceMS)
	require.Regexp(t, fmt.Sprintf(`^Worker 'w' \(PID: %d\) has [01]m?s left to end by itself, because job 'second' asks for that$`, w.PID), first.events[2].Human)
	require.LessOrEqual(t, first.events[2].Fields.GraceMS, int64(1))

	require.Equal(t, []messages.Action{messages.ActionDeleteStart}, second.actions())
	require.Equal(t, fmt.Sprintf("Worker 'w' (PID: %d) is being deleted by another job; it has 1ms left to end by itself", w.PID), second.events[0].Human)
	require.Equal(t, int64(1), second.events[0].Fields.GraceMS)

	require.Equal(t, "SIGKILL", first.answer.Signal)
	require.Equal(t, "second", second.answer.JobID)
	second.answer.JobID = "first"
	require.Equal(t, first.answer, second.answer, "two truthful answers of one deletion")
	require.Empty(t, h.list(false))
}

// A job that would leave the worker more time, or names none, changes nothing.
func TestASecondDeleteCannotSlowTheFirst(t *testing.T) {
	t.Parallel()
	for name, grace := range map[string]time.Duration{"more time": time.Hour, "no time named": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHive(t, nil)
			w := h.run("w", "stubborn", "deaf")
			first, second := twoDeletes(t, h, time.Minute, grace, func(messages.Event) {
				_ = syscall.Kill(w.PID, syscall.SIGKILL) // it ends within its grace after all
			})
			require.Nil(t, first.err)
			require.Nil(t, second.err)
			require.NotContains(t, first.actions(), messages.ActionDeleteHurried)
			require.Contains(t, second.events[0].Human, "is being deleted by another job; waiting for that")
			left := second.events[0].Fields.GraceMS
			require.LessOrEqual(t, left, int64(60_000), "it says how long that may take")
			require.Greater(t, left, int64(30_000))
		})
	}
}
