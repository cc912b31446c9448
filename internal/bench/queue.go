//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rbee-keeper/hive/internal/tinyworker"
	"github.com/rbee-keeper/hive/messages"
)

// How much one round measures of the queue.
const (
	queuedJobs = 200
	drained    = 1000
	breath     = 150 * time.Millisecond
)

// The fleets of the measurement of the queue, each with streams of its own as rbee streams apply makes them.
const (
	realFleet  = messages.DefaultPrefix
	floorFleet = "floor" // its jobs are taken by a party that does the least
	drainFleet = "drain" // by one that says to the server what a hive says
	leastFleet = "least" // and by one that starts a process besides, as the design has it
)

// The hives of this program's own, which differ in nothing but what they tell.
const (
	toldHive  = "told"
	quietHive = "quiet"
)

// queueFigures is what a run found of the queue. Durations are medians, rates are per second.
type queueFigures struct {
	RoundTrip, BareStart, Job time.Duration
	JobP99                    time.Duration
	Contract                  time.Duration
	DrainFloor, DrainContract float64 // of [drained] jobs, [atOnce] at once
	Drain                     float64
	Told, Quiet               time.Duration
}

// queueStage holds the parties of the queue: a server that keeps streams, who queues, a hive, and who takes jobs in its place.
type queueStage struct {
	*stage
	parties     []*party
	queuer      *party
	told, quiet *party
	least       *party
}

// setUpQueue starts the parties below dir. The streams are on the disk of the system's temporary files, where they would be, too.
func setUpQueue(ctx context.Context, binary, dir, store string) (st *queueStage, err error) {
	st = &queueStage{stage: &stage{catalog: filepath.Join(dir, "catalog"), tiny: filepath.Join(dir, "tiny")}}
	defer func() {
		if err != nil {
			st.tearDown()
		}
	}()
	code, err := tinyworker.Binary()
	if err != nil {
		return st, err
	}
	if err := errors.Join(writeWorker(st.tiny, code, 0), st.install("0.1.0", code, 0)); err != nil {
		return st, err
	}
	var url string
	if st.server, err = enlist(ctx, "server", store); err != nil {
		return st, err
	}
	if err := st.server.ask("url", &url); err != nil {
		return st, err
	}
	if st.starter, err = st.enlist(ctx, "starter"); err != nil {
		return st, err
	}
	if st.queuer, err = st.enlist(ctx, "queuer", url); err != nil {
		return st, err
	}
	for _, fleet := range []string{realFleet, floorFleet, drainFleet, leastFleet} {
		if err := st.queuer.ask("apply 0 0 "+fleet, new(bool)); err != nil {
			return st, err
		}
	}
	if _, err = st.enlist(ctx, "taker", url, floorFleet, "1", "0"); err != nil {
		return st, err
	}
	if _, err = st.enlist(ctx, "taker", url, drainFleet, strconv.Itoa(atOnce), strconv.Itoa(events)); err != nil {
		return st, err
	}
	least := filepath.Join(dir, leastFleet)
	if err := os.Mkdir(least, 0o700); err != nil {
		return st, err
	}
	if st.least, err = st.enlist(ctx, "taker", url, leastFleet, strconv.Itoa(atOnce), strconv.Itoa(events), least, st.path("0.1.0")); err != nil {
		return st, err
	}
	if st.told, err = st.enlist(ctx, "hive", url, toldHive, filepath.Join(dir, toldHive), st.catalog, "10001-20000"); err != nil {
		return st, err
	}
	if st.quiet, err = st.enlist(ctx, "hive", url, quietHive, filepath.Join(dir, quietHive), st.catalog, "20001-30000"); err != nil {
		return st, err
	}
	st.serve = []string{
		binary, "serve", "--hive-id", "bench", "--server", url, "--watch", "0", "--queue", "required", "--max-jobs", strconv.Itoa(atOnce),
		"--run-dir", filepath.Join(dir, "run"), "--log-dir", filepath.Join(dir, "log"), "--catalog-dir", st.catalog,
		"--port-range", "30001-60000", "--log-level", "error",
	}
	return st, st.startHive(ctx)
}

// enlist is the function of this name for a party that ends with the stage, and waits until it is there.
func (st *queueStage) enlist(ctx context.Context, role string, args ...string) (*party, error) {
	p, err := enlist(ctx, role, args...)
	if err != nil {
		return nil, err
	}
	st.parties = append(st.parties, p)
	return p, p.ask("ready 0 0 -", new(bool))
}

func (st *queueStage) tearDown() {
	server := st.server
	st.server, st.starter = nil, nil
	st.stage.tearDown()
	for _, p := range append(st.parties, server) {
		if p != nil {
			_ = p.in.Close()
			_ = p.cmd.Wait()
		}
	}
}

// measureQueue measures the queue in turns with its floor.
func measureQueue(ctx context.Context, binary, dir string, rounds int) (f *queueFigures, err error) {
	store, err := os.MkdirTemp("", "rbee-bench-")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(store)) }()
	st, err := setUpQueue(ctx, binary, dir, store)
	if err != nil {
		return f, err
	}
	defer st.tearDown()
	var trips, bare, jobs, contracts, told, quiet []time.Duration
	var floors, leasts, drains []float64
	err = repeat(
		ctx, rounds,
		func() error { return st.queued(&trips, floorFleet+"/"+takerHive) },
		func() error { return st.bare(&bare) },
		func() error { return st.queued(&jobs, realFleet+"/bench") },
		func() error { return errors.Join(st.queued(&contracts, leastFleet+"/"+takerHive), st.rest(st.least)) },
		func() error { return st.queued(&told, realFleet+"/"+toldHive) },
		func() error { return st.queued(&quiet, realFleet+"/"+quietHive) },
		func() error { return st.drain(&floors, drainFleet+"/"+takerHive) },
		func() error { return errors.Join(st.drain(&leasts, leastFleet+"/"+takerHive), st.rest(st.least)) },
		func() error { return st.drain(&drains, realFleet+"/bench") },
	)
	return &queueFigures{
		RoundTrip: quantile(trips, .5), BareStart: quantile(bare, .5), Job: quantile(jobs, .5), JobP99: quantile(jobs, .99),
		Contract: quantile(contracts, .5), DrainContract: quantile(leasts, .5),
		DrainFloor: quantile(floors, .5), Drain: quantile(drains, .5), Told: quantile(told, .5), Quiet: quantile(quiet, .5),
	}, err
}

// queued queues jobs one after the other, and ends their workers.
func (st *queueStage) queued(each *[]time.Duration, hive string) error {
	return errors.Join(st.act(st.queuer, each, "queued", queuedJobs, hive), st.rest(st.queuer))
}

// bare starts bare processes.
func (st *queueStage) bare(each *[]time.Duration) error {
	return errors.Join(st.act(st.starter, each, "start", sequential, st.tiny), st.rest(st.starter))
}

// drain drains a full queue, and ends the workers.
func (st *queueStage) drain(rates *[]float64, hive string) error {
	var s sample
	if err := st.queuer.ask(fmt.Sprintf("drain %d 1 %s", drained, hive), &s); err != nil {
		return err
	}
	*rates = append(*rates, drained/s.All.Seconds())
	return st.rest(st.queuer)
}

// rest ends what a party started and gives the hive the time to write that down, so that the next step does not wait for it.
func (st *queueStage) rest(p *party) error {
	err := p.ask("kill 0 0 -", new(bool))
	time.Sleep(breath)
	return err
}

// print writes what a queued job takes, and how fast a queue is drained.
func (f *queueFigures) print(t *table) {
	t.row()
	floor := f.RoundTrip + f.BareStart
	t.row("work queue round trip, p50", micros(f.RoundTrip))
	t.row("bare process start, p50", micros(f.BareStart))
	t.row("the contract's calls and bytes, queued, p50", micros(f.Contract), micros(floor), times(f.Contract, floor), "the least that the contract allows")
	t.row("queued job, one at a time, p50", micros(f.Job), micros(floor), times(f.Job, floor), "at most 1.50 ×")
	t.row("queued job, one at a time, p99", micros(f.JobP99))
	t.row(fmt.Sprintf("a queue of %d, its messages alone, %d at once", drained, atOnce), perSecond(f.DrainFloor), "", "", "the most there is")
	t.row(fmt.Sprintf("a queue of %d, the contract's calls and bytes, %d at once", drained, atOnce), perSecond(f.DrainContract), perSecond(f.DrainFloor), fmt.Sprintf("%.2f", f.DrainContract/f.DrainFloor), "the most that the contract allows")
	t.row(fmt.Sprintf("a queue of %d spawns, %d at once", drained, atOnce), perSecond(f.Drain), perSecond(f.DrainFloor), fmt.Sprintf("%.2f", f.Drain/f.DrainFloor), "at least 1200 /s")
	t.row("queued job, its steps told, p50", micros(f.Told), micros(f.Quiet)+" (untold)", fmt.Sprintf("%+.1f %%", 100*(1-float64(f.Quiet)/float64(f.Told))), "at most 5 %")
}
