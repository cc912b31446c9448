//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/internal/tinyworker"
)

// How much one round measures.
const (
	roundTrips = 1000
	sequential = 200
	concurrent = 800
	atOnce     = 8
	largeBytes = 100 << 20
)

// figures is what a run found, each part of it that was measured.
type figures struct {
	Request *requestFigures `json:",omitempty"`
	Queue   *queueFigures   `json:",omitempty"`
	Idle    *idleFigures    `json:",omitempty"`
}

// requestFigures is what a run found of jobs by request. Durations are medians.
type requestFigures struct {
	RoundTrip, BareStart, Sketch, Contract, Job time.Duration
	JobP99                                      time.Duration
	BareRate, SketchRate, ContractRate, JobRate float64 // per second, [atOnce] at once; medians of the rounds
	SmallJob, LargeJob                          time.Duration
	Answers                                     answers
	Idle, Living                                memory // of a hive that has nothing to do; of a new one with [livingCount] workers
	Asked, Restarted                            memory // with those, listed many times
	Worn                                        memory // of the hive that started all workers of this run, none of which lives
}

// memory is what a process needs.
type memory struct {
	RSS     int64 // kB
	Threads int64
}

func (st *stage) measure(ctx context.Context, rounds int) (*requestFigures, error) {
	f := &requestFigures{}
	var trips, bare, sketches, contracts, jobs []time.Duration
	var bareRates, sketchRates, contractRates, jobRates []float64
	var err error
	if f.Idle, err = readMemory(st.hive.Process.Pid); err != nil {
		return f, err
	}
	err = repeat(
		ctx, rounds,
		func() error { return st.sample(st.client, &trips, nil, "echo", roundTrips, 1, "-") },
		func() error { return st.sample(st.starter, &bare, nil, "start", sequential, 1, st.tiny) },
		func() error { return st.sample(st.client, &sketches, nil, "start", sequential, 1, st.tiny) },
		func() error { return st.sample(st.client, &contracts, nil, "contract", sequential, 1, st.binary) },
		func() error { return st.sample(st.client, &jobs, nil, "spawn", sequential, 1, "0.1.0") },
		func() error { return st.sample(st.starter, nil, &bareRates, "start", concurrent, atOnce, st.tiny) },
		func() error { return st.sample(st.client, nil, &sketchRates, "start", concurrent, atOnce, st.tiny) },
		func() error {
			return st.sample(st.client, nil, &contractRates, "contract", concurrent, atOnce, st.binary)
		},
		func() error { return st.sample(st.client, nil, &jobRates, "spawn", concurrent, atOnce, "0.1.0") },
	)
	if err != nil {
		return f, err
	}
	f.RoundTrip, f.BareStart, f.Job, f.JobP99 = quantile(trips, .5), quantile(bare, .5), quantile(jobs, .5), quantile(jobs, .99)
	f.Sketch, f.Contract = quantile(sketches, .5), quantile(contracts, .5)
	f.BareRate, f.SketchRate = quantile(bareRates, .5), quantile(sketchRates, .5)
	f.ContractRate, f.JobRate = quantile(contractRates, .5), quantile(jobRates, .5)
	if err := st.largeWorker(rounds, f); err != nil {
		return f, err
	}
	if f.Answers, err = st.crowd(ctx, rounds); err != nil {
		return f, err
	}
	if err := st.serving(ctx, rounds, &f.Answers); err != nil {
		return f, err
	}
	return f, st.living(ctx, f)
}

// repeat takes the steps in turns.
func repeat(ctx context.Context, rounds int, steps ...func() error) error {
	for range rounds {
		for _, step := range steps {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := step(); err != nil {
				return err
			}
		}
	}
	return nil
}

// largeWorker compares a worker of 100 MB with a small one.
func (st *stage) largeWorker(rounds int, f *requestFigures) error {
	code, err := tinyworker.Binary()
	if err != nil {
		return err
	}
	if err := st.install("0.2.0", code, largeBytes); err != nil {
		return err
	}
	var small, large []time.Duration
	for range rounds {
		if err := st.sample(st.client, &small, nil, "spawn", sequential, 1, "0.1.0"); err != nil {
			return err
		}
		if err := st.sample(st.client, &large, nil, "spawn", sequential, 1, "0.2.0"); err != nil {
			return err
		}
	}
	f.SmallJob, f.LargeJob = quantile(small, .5), quantile(large, .5)
	return nil
}

// sample has the party act and end what it started, and collects how long each act took or how many there were in a second.
func (st *stage) sample(p *party, each *[]time.Duration, rates *[]float64, verb string, n, at int, path string) error {
	var s sample
	if err := p.ask(fmt.Sprintf("%s %d %d %s", verb, n, at, path), &s); err != nil {
		return err
	}
	if each != nil {
		*each = append(*each, s.Each...)
	}
	if rates != nil {
		*rates = append(*rates, float64(n)/s.All.Seconds())
	}
	var killed bool
	return errors.Join(p.ask("kill", &killed), st.sketch.ask("kill", &killed), st.contract.ask("kill", &killed))
}

func quantile[T float64 | time.Duration](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

func readMemory(pid int) (memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case fields[0] == "VmRSS:":
			m.RSS, _ = strconv.ParseInt(fields[1], 10, 64)
		case fields[0] == "Threads:":
			m.Threads, _ = strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return m, nil
}
