//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	if err := st.drain(ctx); err != nil {
		v.wrong = append(v.wrong, err.Error())
		return v
	}
	pids, wrong := st.checkResults(ctx, all, &v)
	v.wrong = append(v.wrong, wrong...)
	for _, check := range []func() []string{
		func() []string { return st.checkStarts(all, pids, &v) },
		func() []string { return st.checkLiving(pids, &v) },
		func() []string { return st.checkStories(ctx, all, &v) },
		st.checkRecords,
	} {
		var wrong []string
		_ = await(ctx, "all is well", settled, func() bool {
			wrong = check()
			return len(wrong) == 0
		})
		v.wrong = append(v.wrong, wrong...)
	}
	if len(v.wrong) == 0 {
		v.wrong = st.clear(ctx, pids)
	}
	return v
}

// checkResults requires that every job has one outcome, the right one, and never had another. It returns the processes of those whose
// worker runs.
func (st *stage) checkResults(ctx context.Context, all []job, v *verdict) (pids map[string]int, wrong []string) {
	pids = map[string]int{}
	for _, j := range all {
		known, err := st.queen.Job(ctx, hiveID, j.id)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s has no result: %v", j.id, err))
			continue
		}
		result, err := st.await(ctx, j, known)
		failure, failed := errors.AsType[*messages.Error](err)
		switch {
		case err != nil && !failed:
			wrong = append(wrong, fmt.Sprintf("%s: %v", j.id, err))
		case j.ends() && !failed && st.outlivedWatch(result):
		case j.ends() && (!failed || failure.Code != messages.WorkerExited):
			wrong = append(wrong, fmt.Sprintf("%s: its worker ended at once, and the result is %s", j.id, known.Answer))
		case !j.ends() && failed:
			wrong = append(wrong, fmt.Sprintf("%s: its worker runs, and the result is %s", j.id, known.Answer))
		case !j.ends():
			pids[j.id] = result.PID
		}
		v.ended[j.id] = known.EndedAt
		if result.Replayed {
			v.replayed++
		}
	}
	stream, err := st.js.Stream(ctx, messages.Subjects{}.Streams().Results)
	if err != nil {
		return pids, append(wrong, err.Error())
	}
	// The stream keeps the last result of each job; its count tells whether one ever came in the place of another.
	if state := stream.CachedInfo().State; state.LastSeq != uint64(len(all)) || state.Msgs != uint64(len(all)) {
		wrong = append(wrong, fmt.Sprintf("%d jobs have %d results, and %d were ever stored", len(all), state.Msgs, state.LastSeq))
	}
	return pids, wrong
}

// outlivedWatch reports whether the worker of a result ended so late that it counts as spawned: on a busy machine also who ends at once
// takes a while.
func (st *stage) outlivedWatch(r messages.Result) bool {
	data, err := os.ReadFile(filepath.Join(st.path("run"), "workers", r.WorkerID, "exit.json"))
	var end struct {
		At time.Time `json:"at"`
	}
	return err == nil && json.Unmarshal(data, &end) == nil && end.At.Sub(r.StartedAt) >= st.watch
}

// await asks for the result as a caller who has waited does, and compares that with what the stream has.
func (st *stage) await(ctx context.Context, j job, known queen.QueuedJob) (messages.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, settled)
	defer cancel()
	result, err := st.queen.Await(ctx, hiveID, j.id, nil)
	kept, keptErr := messages.DecodeResult(known.Answer)
	if kept != result || (err == nil) != (keptErr == nil) {
		return result, fmt.Errorf("a caller is told %+v, %w; the stream has %s", result, err, known.Answer)
	}
	return result, err
}

// start is a worker that was started, as it wrote down itself.
type start struct {
	job string
	pid int
}

func (st *stage) starts() (all []start, err error) {
	data, err := os.ReadFile(filepath.Join(st.path("work"), "started"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		var s start
		var worker string
		if _, err := fmt.Sscan(line, &s.job, &worker, &s.pid); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// checkStarts requires that the worker of every job was started once, and is the one of its result. Where the machine was lost before
// the result was stored, it may have been started twice.
func (st *stage) checkStarts(all []job, pids map[string]int, v *verdict) (wrong []string) {
	v.again = 0
	starts, err := st.starts()
	if err != nil {
		return []string{err.Error()}
	}
	of := map[string][]int{}
	for _, s := range starts {
		of[s.job] = append(of[s.job], s.pid)
	}
	for _, j := range all {
		started := of[j.id]
		if len(started) == 2 && v.ended[j.id].After(st.lost) && !st.lost.IsZero() {
			started = started[1:]
			v.again++
		}
		switch {
		case len(started) != 1:
			wrong = append(wrong, fmt.Sprintf("%s: its worker was started %d times (PIDs %v)", j.id, len(started), started))
		case pids[j.id] != 0 && pids[j.id] != started[0]:
			wrong = append(wrong, fmt.Sprintf("%s: its worker is %d, and its result says %d", j.id, started[0], pids[j.id]))
		}
		delete(of, j.id)
	}
	for id := range of {
		wrong = append(wrong, fmt.Sprintf("a worker was started for %q, which nobody asked for", id))
	}
	return wrong
}

// checkLiving requires that the workers of the results run, and nothing else.
func (st *stage) checkLiving(pids map[string]int, v *verdict) (wrong []string) {
	expected := map[int]bool{}
	for id, pid := range pids {
		if expected[pid] = true; !alive(pid) && !v.ended[id].Before(st.lost) {
			wrong = append(wrong, fmt.Sprintf("%s: its worker (PID %d) does not run", id, pid))
		}
	}
	for _, pid := range living(st.path("work")) {
		if !expected[pid] {
			wrong = append(wrong, fmt.Sprintf("process %d runs and is nobody's result", pid))
		}
	}
	return wrong
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
		r := read(events, deaths)
		v.lost, v.untold = v.lost+r.lost, v.untold+r.untold
		for _, text := range r.wrong {
			wrong = append(wrong, j.id+": "+text)
		}
	}
	return wrong
}

// checkRecords requires that no start is left half done in the run directory.
func (st *stage) checkRecords() (wrong []string) {
	dirs, _ := filepath.Glob(st.path("run/workers/*"))
	for _, dir := range dirs {
		data, err := os.ReadFile(filepath.Join(dir, "worker.json"))
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("the run directory has a worker without a record: %v", err))
		} else if !json.Valid(data) {
			wrong = append(wrong, fmt.Sprintf("%s/worker.json is no record: %s", dir, data))
		}
	}
	return wrong
}
