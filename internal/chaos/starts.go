//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rbee-keeper/hive/messages"
)

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

// startsOf returns the processes that were started, by job.
func (st *stage) startsOf() (map[string][]int, error) {
	starts, err := st.starts()
	of := map[string][]int{}
	for _, s := range starts {
		of[s.job] = append(of[s.job], s.pid)
	}
	return of, err
}

// checkStarts requires that the worker of every job was started once, and is the one of its result. Where the machine was lost before
// the result was stored, it may have been started twice. Of jobs that share a worker each may have started it, or found it.
func (st *stage) checkStarts(answers []answer, v *verdict) (wrong []string) {
	v.again = 0
	of, err := st.startsOf()
	if err != nil && !(errors.Is(err, os.ErrNotExist) && !slices.ContainsFunc(answers, func(a answer) bool { return a.starts() })) {
		return []string{err.Error()}
	}
	byWorker, deleted := map[string][]int{}, map[int]bool{} // who is deleted may not have written down yet that it is there
	for _, a := range answers {
		deleted[a.pid] = deleted[a.pid] || a.deletes
		byWorker[a.workerID()] = append(byWorker[a.workerID()], of[a.id]...)
	}
	for _, a := range answers {
		started := of[a.id]
		if len(started) == 2 && v.ended[a.id].After(st.lost) && !st.lost.IsZero() {
			started = started[1:]
			v.again++
		}
		delete(of, a.id)
		most, least := 0, 0
		if a.job.starts() {
			most, least = 1, 1
		}
		if a.worker != "" {
			least, started = 0, byWorker[a.workerID()]
			most = len(started)
		}
		switch {
		case len(started) < least || len(started) > most:
			wrong = append(wrong, fmt.Sprintf("%s: its worker was started %d times (PIDs %v)", a.id, len(started), started))
		case a.pid != 0 && !deleted[a.pid] && !slices.Contains(started, a.pid):
			wrong = append(wrong, fmt.Sprintf("%s: its worker is %v, and its result says %d", a.id, started, a.pid))
		}
	}
	for id := range of {
		wrong = append(wrong, fmt.Sprintf("a worker was started for %q, which nobody asked for", id))
	}
	return append(wrong, st.checkStartedOnce(answers)...)
}

// checkStartedOnce requires that no job started two workers, also where several share one. There, a job is remembered until another has
// taken the worker's id: whose hive was killed before its result was stored may be started again behind that.
func (st *stage) checkStartedOnce(answers []answer) (wrong []string) {
	of, _ := st.startsOf()
	shared := map[string]int{}
	for _, a := range answers {
		if a.job.starts() {
			shared[a.workerID()]++
		}
	}
	for _, a := range answers {
		if a.worker != "" && len(of[a.id]) > 1 && (shared[a.worker] == 1 || len(st.deaths) == 0) {
			wrong = append(wrong, fmt.Sprintf("%s started %d workers (PIDs %v)", a.id, len(of[a.id]), of[a.id]))
		}
	}
	return wrong
}

// checkLiving requires that the workers of the results run, and nothing else.
func (st *stage) checkLiving(answers []answer, v *verdict) (wrong []string) {
	expected, doubted := st.expected(answers)
	for pid, id := range expected {
		if !alive(pid) && !v.ended[id].Before(st.lost) {
			wrong = append(wrong, fmt.Sprintf("%s: its worker (PID %d) does not run", id, pid))
		}
	}
	for _, pid := range living(st.path("work")) {
		if expected[pid] == "" && !doubted[pid] {
			wrong = append(wrong, fmt.Sprintf("process %d runs and is nobody's result", pid))
		}
	}
	return wrong
}

// expected returns the processes that must run, with the job of each, and those that may: a delete that finds its worker ended, because the
// hive that ended it was killed before it could say so, does not say which process that was.
func (st *stage) expected(answers []answer) (must map[int]string, may map[int]bool) {
	must, may = map[int]string{}, map[int]bool{}
	of, _ := st.startsOf()
	ended, doubted := map[int]bool{}, map[string]bool{}
	for _, a := range answers {
		if a.deletes {
			ended[a.pid] = true
			doubted[a.worker] = doubted[a.worker] || a.failure != nil
		}
	}
	for _, a := range answers {
		switch {
		case a.deletes || ended[a.pid]:
		case a.pid != 0 && doubted[a.workerID()]:
			may[a.pid] = true
		case a.pid != 0 && a.fails == "":
			must[a.pid] = a.id
		case a.fails == messages.PortInUse || a.fails == messages.NotReady: // it goes on
			for _, pid := range of[a.id] {
				must[pid] = a.id
			}
		}
	}
	// Who was told that nothing of the worker runs, behind the one start of it, was told so for good.
	for _, a := range answers {
		if a.deletes && a.behind >= 0 {
			for pid := range may {
				if slices.ContainsFunc(answers, func(b answer) bool { return b.pid == pid && b.worker == a.worker }) {
					delete(may, pid)
				}
			}
		}
	}
	return must, may
}
