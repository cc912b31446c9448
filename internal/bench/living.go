//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How much one round asks of a hive whose workers live.
const (
	listedCount  = 100  // workers
	processCount = 2000 // processes of the machine, the workers among them
	lists        = 100
	gets         = 200
	deletes      = 25
	livingCount  = 500
)

// answers is what a hive takes to answer for its workers in a crowd of processes. Durations are medians.
type answers struct {
	Processes               int
	RoundTrip               time.Duration
	List, Get               time.Duration // of workers that do not listen, so that none is asked for its health
	Delete, Exit            time.Duration // of the whole request, and of the same program from a bare SIGTERM on
	ListServing, GetServing time.Duration // of workers that answer when they are asked for their health
	Checks                  time.Duration // of the health of all of them at once, by somebody who does nothing else
}

// crowd measures the questions and the deletes among many processes that are none of the hive's.
func (st *stage) crowd(ctx context.Context, rounds int) (a answers, err error) {
	defer func() { err = errors.Join(err, st.disperse()) }()
	if a.Processes, err = st.gather("0.1.0"); err != nil {
		return a, err
	}
	var trips, listed, got, deleted, exits []time.Duration
	err = repeat(
		ctx, rounds,
		func() error { return st.act(st.client, &trips, "echo", roundTrips, "-") },
		func() error { return st.act(st.client, &listed, "list", lists, strconv.Itoa(listedCount)) },
		func() error { return st.act(st.client, &got, "get", gets, "-") },
		func() error { return st.act(st.client, nil, "spawn", deletes, "0.1.0") },
		func() error { return st.act(st.client, &deleted, "delete", deletes, "-") },
		func() error { return st.act(st.starter, &exits, "exit", deletes, st.tiny) },
	)
	if err != nil {
		return a, err
	}
	a.RoundTrip, a.List, a.Get = quantile(trips, .5), quantile(listed, .5), quantile(got, .5)
	a.Delete, a.Exit = quantile(deleted, .5), quantile(exits, .5)
	if left, err := processes(); err != nil || left < a.Processes*9/10 {
		return a, errors.Join(err, fmt.Errorf("only %d of %d processes are left: they ended before they were needed no more", left, a.Processes))
	}
	return a, nil
}

// serving measures the questions when each worker has to be asked for its health, too: llm-worker, a server in Go.
func (st *stage) serving(ctx context.Context, rounds int, a *answers) (err error) {
	defer func() { err = errors.Join(err, st.disperse()) }()
	code, err := os.ReadFile(filepath.Join(filepath.Dir(st.serve[0]), "llm-worker"))
	if err != nil {
		return fmt.Errorf("%w; run make build first, or make bench", err)
	}
	if err := st.install("0.3.0", code, 0); err != nil {
		return err
	}
	if _, err := st.gather("0.3.0"); err != nil {
		return err
	}
	if err := st.client.ask(fmt.Sprintf("await %d 1 -", listedCount), new(bool)); err != nil {
		return err
	}
	var checked, listed, got []time.Duration
	err = repeat(
		ctx, rounds,
		func() error { return st.act(st.client, &checked, "check", lists, "-") },
		func() error { return st.act(st.client, &listed, "list", lists, strconv.Itoa(listedCount)) },
		func() error { return st.act(st.client, &got, "get", gets, "-") },
	)
	a.Checks = quantile(checked, .5)
	a.ListServing, a.GetServing = quantile(listed, .5), quantile(got, .5)
	return err
}

// gather has the hive start its workers, and fills the machine up with other processes. It returns how many there are then.
func (st *stage) gather(version string) (int, error) {
	if err := st.act(st.client, nil, "spawn", listedCount, version); err != nil {
		return 0, err
	}
	count, err := processes()
	if err != nil {
		return 0, err
	}
	if err := st.act(st.sketch, nil, "start", max(processCount-count, 0), st.tiny); err != nil {
		return 0, err
	}
	return processes()
}

// disperse ends all that gather began.
func (st *stage) disperse() error {
	return errors.Join(st.client.ask("kill", new(bool)), st.sketch.ask("kill", new(bool)))
}

// living measures a new hive while many workers run: as soon as they do, when it was asked for them, and when it
// was killed and started again.
func (st *stage) living(ctx context.Context, f *requestFigures) error {
	if err := st.anew(ctx, f); err != nil {
		return err
	}
	if err := st.client.ask(fmt.Sprintf("spawn %d %d 0.1.0", livingCount, atOnce), new(sample)); err != nil {
		return err
	}
	var err error
	if f.Living, err = readMemory(st.hive.Process.Pid); err != nil {
		return err
	}
	if f.Asked, err = st.asked(); err != nil {
		return err
	}
	if err := st.hive.Process.Kill(); err != nil {
		return err
	}
	_ = st.hive.Wait() // the error is that it was killed
	if err := st.startHive(ctx); err != nil {
		return err
	}
	if f.Restarted, err = st.asked(); err != nil {
		return err
	}
	return st.endOrphans()
}

// anew measures the hive that has done all the work before, and puts another in its place.
func (st *stage) anew(ctx context.Context, f *requestFigures) (err error) {
	if f.Worn, err = readMemory(st.hive.Process.Pid); err != nil {
		return err
	}
	if err := st.hive.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = st.hive.Wait() // the error is that it was told to end
	return st.startHive(ctx)
}

// asked returns what the hive needs when it was asked for all its workers many times.
func (st *stage) asked() (memory, error) {
	if err := st.act(st.client, nil, "list", lists, strconv.Itoa(livingCount)); err != nil {
		return memory{}, err
	}
	return readMemory(st.hive.Process.Pid)
}

// endOrphans kills the workers of a hive that was killed. They are this process's children now, and nobody else reaps them.
func (st *stage) endOrphans() error {
	var orphans []worker
	if err := st.client.ask("workers", &orphans); err != nil {
		return err
	}
	for _, w := range orphans {
		_ = syscall.Kill(w.PID, syscall.SIGKILL)
	}
	for _, w := range orphans {
		if _, err := syscall.Wait4(w.PID, nil, 0, nil); err != nil {
			return fmt.Errorf("wait for worker %s (PID %d): %w", w.ID, w.PID, err)
		}
	}
	var killed bool
	return st.client.ask("kill", &killed)
}

// adoptOrphans makes this process the parent of those whose own has ended (prctl(2), PR_SET_CHILD_SUBREAPER).
func adoptOrphans() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// act has the party act, one at a time, and collects how long each act took.
func (st *stage) act(p *party, each *[]time.Duration, verb string, n int, word string) error {
	var s sample
	if err := p.ask(fmt.Sprintf("%s %d 1 %s", verb, n, word), &s); err != nil {
		return err
	}
	if each != nil {
		*each = append(*each, s.Each...)
	}
	return nil
}

// processes returns how many processes the machine has.
func processes() (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	count := 0
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err == nil {
			count++
		}
	}
	return count, nil
}
