//go:build linux

package spawner_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func deleteJob(id, worker string) messages.DeleteJob {
	return messages.DeleteJob{Operation: messages.WorkerDelete, JobID: id, HiveID: "gpu-1", WorkerID: worker}
}

// ended is what a delete told and answered.
type ended struct {
	told
	answer messages.Deleted
}

// del runs the job; on is told each event as it comes.
func (h *hive) del(ctx context.Context, job messages.DeleteJob, on func(messages.Event)) ended {
	var out ended
	answer, err := h.Delete(ctx, job, func(e messages.Event) {
		requireDocumented(h.t, e)
		out.events = append(out.events, e)
		if on != nil {
			on(e)
		}
	})
	if err != nil {
		out.err = messages.AsError(err)
	}
	out.answer = answer
	return out
}

func TestDeleteOfAWorkerThatObeys(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "code:3", "obedient")
	job := deleteJob("d", "w")
	job.PID = w.PID
	got := h.del(t.Context(), job, nil)
	require.Nil(t, got.err)
	require.Equal(t, fmt.Sprintf("Deleting worker 'w' (PID: %d), which has 10s to end by itself\nSIGTERM sent to 1 process of worker 'w'\n", w.PID), got.humans())
	require.Equal(t, []messages.Action{messages.ActionDeleteStart, messages.ActionDeleteSigterm}, got.actions())
	require.Equal(t, messages.Fields{PID: w.PID, Port: w.Port, GraceMS: 10_000}, got.events[0].Fields)
	require.Equal(t, messages.Fields{Signal: "SIGTERM", Processes: 1}, got.events[1].Fields)

	three := 3
	require.Less(t, got.answer.TookMS, int64(10_000))
	require.Equal(t, messages.Deleted{
		JobID: "d", HiveID: "gpu-1", WorkerID: "w", PID: w.PID, Signal: "SIGTERM", TookMS: got.answer.TookMS, Processes: 1, ExitCode: &three,
	}, got.answer)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", w.Port))
	require.NoError(t, err, "its port is free")
	require.NoError(t, listener.Close())
	require.Equal(t, messages.ActionExited, (<-h.exited).Action)
	require.Equal(t, &three, h.get("w").ExitCode)

	again := h.del(t.Context(), deleteJob("d2", "w"), nil)
	require.ErrorIs(t, again.err, messages.WorkerNotFound)
	require.Contains(t, again.err.Message, "has ended already")
	require.Empty(t, again.events, "nothing was begun")

	replayed := h.spawn(called("w", "job-w", "code:3"))
	require.Nil(t, replayed.err)
	require.True(t, replayed.result.Replayed)
	require.True(t, replayed.result.Ended)
	require.Contains(t, replayed.humans(), "and has ended since")
	require.Empty(t, h.list(false), "it is not started again")
}

// The answer waits for the exit code, however long that takes to be written down where many workers end together.
func TestDeleteWhileEndsCannotBeWrittenDown(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "code:3", "obedient")
	release := h.HoldEnds()
	deleted := make(chan ended, 1)
	go func() { deleted <- h.del(t.Context(), deleteJob("d", "w"), nil) }()
	require.Eventually(t, func() bool { return syscall.Kill(w.PID, 0) != nil }, patience, time.Millisecond)
	select {
	case <-deleted:
		require.FailNow(t, "the answer does not know how it ended")
	case <-time.After(300 * time.Millisecond):
	}
	release()
	got := <-deleted
	require.Nil(t, got.err)
	require.Equal(t, 3, *got.answer.ExitCode)
	require.Equal(t, 3, *h.get("w").ExitCode)
}

func TestDeleteOfAWorkerThatDoesNotObey(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.run("w", "stubborn", "deaf")
	job := deleteJob("d", "w")
	job.GraceMS = 50
	began := time.Now()
	got := h.del(t.Context(), job, nil)
	require.Nil(t, got.err)
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
	require.Equal(t, []messages.Action{messages.ActionDeleteStart, messages.ActionDeleteSigterm, messages.ActionDeleteSigkill}, got.actions())
	require.Equal(t, int64(50), got.events[0].Fields.GraceMS)
	require.Equal(t, "SIGKILL sent to 1 process of worker 'w'", got.events[2].Human)
	require.Equal(t, "SIGKILL", got.answer.Signal)
	require.Nil(t, got.answer.ExitCode)
	require.Equal(t, "SIGKILL", h.get("w").Signal)
}

func TestDeleteTakesTheWholeTree(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.run("w", "parent", "made")
	child := h.childOf("w")
	require.NoError(t, syscall.Kill(child, 0))
	got := h.del(t.Context(), deleteJob("d", "w"), nil)
	require.Nil(t, got.err)
	require.Equal(t, 2, got.answer.Processes)
	require.Empty(t, h.list(false))
	require.True(t, zombie(child), "nothing of it runs")
}

// Two hives of one machine may bear one id, as a test's beside the real one, and get jobs with the same ids.
func TestDeleteLeavesTheWorkerOfAnotherHiveAlone(t *testing.T) {
	t.Parallel()
	one, other := newHive(t, nil), newHive(t, nil)
	one.run("w", "live", "playing")
	theirs := other.run("w", "live", "playing")
	got := one.del(t.Context(), deleteJob("d", "w"), nil)
	require.Nil(t, got.err)
	require.Equal(t, 1, got.answer.Processes)
	require.NoError(t, syscall.Kill(theirs.PID, 0))
	require.Equal(t, messages.StateStarting, other.get("w").State)
}

func TestDeletesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "live", "playing")
	gone := h.run("gone", "live", "playing")
	require.NoError(t, syscall.Kill(gone.PID, syscall.SIGKILL))
	<-h.exited
	for name, tc := range map[string]struct {
		worker string
		pid    int
		code   messages.Code
		says   string
	}{
		"nobody":                     {"nobody", 0, messages.WorkerNotFound, "worker_list"},
		"another process":            {"w", w.PID + 1, messages.WorkerConflict, fmt.Sprintf("is process %d", w.PID)},
		"one that ended":             {"gone", 0, messages.WorkerNotFound, "has ended already"},
		"the process of one before":  {"gone", gone.PID + 1, messages.WorkerNotFound, "has ended already"},
		"the process that has ended": {"gone", gone.PID, messages.WorkerNotFound, "has ended already"},
	} {
		job := deleteJob("d", tc.worker)
		job.PID = tc.pid
		got := h.del(t.Context(), job, nil)
		require.ErrorIs(t, got.err, tc.code, name)
		require.Contains(t, got.err.Message, tc.says, name)
		require.Empty(t, got.events, name)
	}
	require.NoError(t, syscall.Kill(w.PID, 0))
	require.NoDirExists(t, h.dir("nobody"))
}

func TestTwoDeletesAreOneDeletion(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "stubborn", "deaf")
	second, joined := make(chan ended, 1), make(chan struct{})
	job := deleteJob("first", "w")
	job.GraceMS = 60_000
	first := h.del(t.Context(), job, func(e messages.Event) {
		if e.Action != messages.ActionDeleteSigterm {
			return
		}
		go func() {
			second <- h.del(context.WithoutCancel(t.Context()), deleteJob("second", "w"), func(messages.Event) { close(joined) })
		}()
		<-joined
		_ = syscall.Kill(w.PID, syscall.SIGKILL) // it ends within its grace after all
	})
	other := <-second
	require.Nil(t, first.err)
	require.Nil(t, other.err)
	require.Equal(t, []messages.Action{messages.ActionDeleteStart}, other.actions(), "no second signal")
	require.Equal(t, fmt.Sprintf("Worker 'w' (PID: %d) is being deleted by another job; waiting for that", w.PID), other.events[0].Human)
	require.Equal(t, "second", other.answer.JobID)
	other.answer.JobID = "first"
	require.Equal(t, first.answer, other.answer)
}

func TestDrainingHiveLeavesAWorkerToItsGrace(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "stubborn", "deaf")
	ctx, drain := context.WithCancel(t.Context())
	second, joined := make(chan ended, 1), make(chan struct{})
	first := h.del(ctx, deleteJob("first", "w"), func(e messages.Event) {
		if e.Action == messages.ActionDeleteSigterm {
			go func() { second <- h.del(ctx, deleteJob("second", "w"), func(messages.Event) { close(joined) }) }()
			<-joined
			drain()
		}
	})
	for _, got := range []ended{first, <-second} {
		require.ErrorIs(t, got.err, messages.HiveDraining)
		require.True(t, got.err.Retryable)
		require.NotContains(t, got.actions(), messages.ActionDeleteSigkill)
	}
	require.Equal(t, messages.StateStarting, h.get("w").State, "it goes on")

	h.reopen()
	job := deleteJob("third", "w")
	job.GraceMS = 1
	third := h.del(t.Context(), job, nil)
	require.Nil(t, third.err, "the next hive can end it")
	require.Equal(t, w.PID, third.answer.PID)
}

// What a worker left behind is the worker, as long as it has what the worker had.
func TestWhatAnEndedWorkerLeftBehind(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.cfg.Watch = 0
	h.reopen()
	got := h.spawn(called("w", "j", "orphan:told"))
	require.Nil(t, got.err)
	awaitLog(t, got.result.LogPath, "left")
	h.started(h.childOf("w"))
	require.NoError(t, syscall.Kill(got.result.PID, syscall.SIGTERM))
	<-h.exited

	require.Equal(t, []string{"w"}, ids(h.list(false)))
	w := h.get("w")
	require.Equal(t, messages.StateStarting, w.State)
	require.Equal(t, 1, w.Processes)
	require.Equal(t, 1, h.Living())

	deleted := h.del(t.Context(), deleteJob("d", "w"), nil)
	require.Nil(t, deleted.err)
	require.Equal(t, 1, deleted.answer.Processes)
	require.Empty(t, h.list(false))
	require.Zero(t, h.Living())
	require.Equal(t, messages.StateExited, h.get("w").State)
}

// A delete may come at any moment of a start. It must neither miss the worker and leave it half recorded, nor spoil its record.
func TestDeleteInTheMiddleOfAStart(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.cfg.Watch = 0
	h.reopen()
	for i := range 40 {
		worker := fmt.Sprintf("w%d", i)
		started := make(chan told, 1)
		go func() { started <- h.spawn(called(worker, "j", "live")) }()
		var got ended
		require.Eventually(t, func() bool {
			got = h.del(t.Context(), deleteJob("d", worker), nil)
			return got.err == nil || got.err.Code != messages.WorkerNotFound
		}, patience, 50*time.Microsecond)
		require.Nil(t, got.err)
		<-started
		require.Equal(t, messages.StateExited, h.get(worker).State)
	}
	require.Len(t, h.list(true), 40)
	require.Empty(t, h.list(false))
}

// A hive that was killed between a start and its record leaves a worker that the next one has to find without being asked.
func TestCutShortStartIsListedAndDeleted(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	w := h.run("w", "code:0", "obedient")
	ended := h.run("ended", "live", "playing")
	require.NoError(t, syscall.Kill(ended.PID, syscall.SIGKILL))
	<-h.exited
	cutShort(t, h.dir("w"))
	cutShort(t, h.dir("ended"))
	require.NoError(t, os.Remove(ended.LogPath)) // as if it had never been started
	h.reopen()
	require.Equal(t, []string{"w"}, ids(h.list(true)))
	require.Equal(t, w.PID, h.get("w").PID)
	require.Equal(t, w.Port, h.get("w").Port)
	require.NoDirExists(t, h.dir("ended"), "a start that came to nothing leaves nothing")

	got := h.del(t.Context(), deleteJob("d", "w"), nil)
	require.Nil(t, got.err)
	require.Equal(t, w.PID, got.answer.PID)
	require.Equal(t, "w", (<-h.exited).WorkerID, "its end is told, too")
	require.FileExists(t, filepath.Join(h.dir("w"), "exit.json"))
	_, err := os.Stat(w.LogPath)
	require.NoError(t, err)
}
