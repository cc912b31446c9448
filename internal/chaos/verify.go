//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// settled is how long what was true when the queue became empty may take to be seen: the last events are on their way, a worker that
// was just started has not written down that it runs.
const settled = 15 * time.Second

// verdict is what was found when a round was over.
type verdict struct {
	wrong    []string // violations; nothing may be wrong
	replayed int      // jobs whose result says that their worker was started before
	lost     int      // events that are missing around the death of a server
	untold   int      // stories that a death cut short
	again    int      // workers that were started again because their machine was lost before their result was stored

	ended map[string]time.Time // when the result of each job was stored
}

// verify checks what a round has left: one result of each job, one start of each worker, whole stories, and nothing more.
func (st *stage) verify(ctx context.Context, all []job) (v verdict) {
	v.ended = map[string]time.Time{}
	if err := st.drain(ctx, all); err != nil {
		v.wrong = append(v.wrong, err.Error())
		return v
	}
	answers, wrong := st.answers(ctx, all, &v)
	v.wrong = append(v.wrong, wrong...)
	for _, check := range []func() []string{
		func() []string { return st.checkCount(ctx, all) },
		func() []string { return st.checkStarts(answers, &v) },
		func() []string { return st.checkLiving(answers, &v) },
		func() []string { return st.checkStories(ctx, all, &v) },
		func() []string { return st.checkRecords(answers) },
		st.checkClashes,
		func() []string { return st.checkTold(ctx, all) },
		func() []string { return st.checkEdits(all) },
		func() []string { return st.checkDead(ctx, all) },
	} {
		var wrong []string
		_ = await(ctx, "all is well", settled, func() bool {
			wrong = check()
			return len(wrong) == 0
		})
		v.wrong = append(v.wrong, wrong...)
	}
	if len(v.wrong) == 0 {
		v.wrong = st.clear(ctx, answers)
	}
	return v
}

// answer is what became of a job.
type answer struct {
	job
	started time.Time       // when the process was
	pid     int             // the process that a worker was started as, or ended as; 0 if the job failed
	failure *messages.Error // nil if it succeeded
	dead    bool            // it came to no end
}

// answers requires that every job has one outcome, a right one.
func (st *stage) answers(ctx context.Context, all []job, v *verdict) (answers []answer, wrong []string) {
	for _, j := range all {
		known, err := st.queen.Job(ctx, hiveID, j.id)
		if err == nil && j.spent && known.State == queen.JobDead {
			answers = append(answers, answer{job: j, dead: true})
			continue
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s has no result: %v", j.id, err))
			continue
		}
		a, replayed, err := st.await(ctx, j, known)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", j.id, err))
			continue
		}
		if text := st.judge(ctx, a, known); text != "" {
			wrong = append(wrong, j.id+": "+text)
		}
		answers = append(answers, a)
		v.ended[j.id] = known.EndedAt
		if replayed {
			v.replayed++
		}
	}
	return answers, wrong
}

// judge says what is wrong with what became of a job.
func (st *stage) judge(ctx context.Context, a answer, known queen.QueuedJob) string {
	switch {
	case a.failure == nil && a.fails == "":
	case a.failure == nil && a.fails == messages.WorkerExited && !a.ready && st.outlivedWatch(ctx, a):
	case a.failure == nil:
		return fmt.Sprintf("it must fail with %s, and its result is %s", a.fails, known.Answer)
	case a.failure.Code != a.fails && a.failure.Code != a.mayFail:
		return fmt.Sprintf("it must not fail so, and its result is %s", known.Answer)
	}
	return ""
}

// checkCount requires that no result ever came in the place of another. That of a delete may, and that of a request: a refusal gives way.
func (st *stage) checkCount(ctx context.Context, all []job) []string {
	stream, err := st.js.Stream(ctx, messages.Subjects{}.Streams().Results)
	if err != nil {
		return []string{err.Error()}
	}
	least, yielding := 0, false
	for _, j := range all {
		if !j.spent {
			least++
		}
		yielding = yielding || j.deletes || j.asked
	}
	state := stream.CachedInfo().State
	most := state.Msgs
	if yielding {
		most = math.MaxUint64
	}
	// The stream keeps the last result of each job; its count tells whether one ever came in the place of another.
	if state.Msgs < uint64(least) || state.Msgs > uint64(len(all)) || state.LastSeq > most {
		return []string{fmt.Sprintf("%d jobs have %d results, and %d were ever stored", len(all), state.Msgs, state.LastSeq)}
	}
	return nil
}

// outlivedWatch reports whether the worker of a result ended so late that it counts as spawned: on a busy machine also who ends at once
// takes a while, and may not have ended yet.
func (st *stage) outlivedWatch(ctx context.Context, a answer) bool {
	var end struct {
		At time.Time `json:"at"`
	}
	err := await(ctx, "the worker has ended", settled, func() bool {
		data, err := os.ReadFile(filepath.Join(st.path("run"), "workers", a.workerID(), "exit.json"))
		return err == nil && json.Unmarshal(data, &end) == nil
	})
	return err == nil && end.At.Sub(a.started) >= st.watch
}

// await asks for the result as a caller who has waited does, and compares that with what the stream has.
func (st *stage) await(ctx context.Context, j job, known queen.QueuedJob) (a answer, replayed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, settled)
	defer cancel()
	a.job = j
	var told, kept any
	var keptErr error
	if j.deletes {
		deleted, awaitErr := st.queen.AwaitDelete(ctx, hiveID, j.id, nil)
		a.pid, told, err = deleted.PID, deleted.PID, awaitErr
		var stored messages.Deleted
		stored, keptErr = messages.DecodeDeleted(known.Answer)
		kept = stored.PID
	} else {
		result, awaitErr := st.queen.Await(ctx, hiveID, j.id, nil)
		a.pid, a.started, told, err = result.PID, result.StartedAt, result, awaitErr
		replayed = result.Replayed
		kept, keptErr = messages.DecodeResult(known.Answer)
	}
	failed := false
	a.failure, failed = errors.AsType[*messages.Error](err)
	if kept != told || (err == nil) != (keptErr == nil) {
		return a, replayed, fmt.Errorf("a caller is told %+v, %w; the stream has %s", told, err, known.Answer)
	}
	if failed {
		return a, replayed, nil
	}
	return a, replayed, err
}

// checkStories requires that what was told of each job is whole, but for what a death explains.
func (st *stage) checkStories(ctx context.Context, all []job, v *verdict) (wrong []string) {
	st.mu.Lock()
	deaths := st.deaths
	st.mu.Unlock()
	v.lost, v.untold = 0, 0
	for _, j := range all {
		events, err := st.queen.Story(ctx, hiveID, j.id)
		if err != nil {
			return []string{err.Error()}
		}
		r := read(events, deaths, j.spent)
		v.lost, v.untold = v.lost+r.lost, v.untold+r.untold
		for _, text := range r.wrong {
			wrong = append(wrong, j.id+": "+text)
		}
	}
	return wrong
}

// checkRecords requires that no start is left half done in the run directory. The job of a worker that was never ready and goes on is not
// answered for good: it is in its lock file.
func (st *stage) checkRecords(answers []answer) (wrong []string) {
	open := map[string]bool{}
	for _, a := range answers {
		open[a.workerID()] = a.fails == messages.PortInUse || a.fails == messages.NotReady
	}
	dirs, _ := filepath.Glob(st.path("run/workers/*"))
	for _, dir := range dirs {
		name := "worker.json"
		if open[filepath.Base(dir)] {
			name = "lock"
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("the run directory has a worker without a record: %v", err))
		} else if !json.Valid(data) {
			wrong = append(wrong, fmt.Sprintf("%s/%s is no record: %s", dir, name, data))
		}
	}
	return wrong
}
