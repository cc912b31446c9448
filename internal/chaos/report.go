//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// report plays the rounds and tells of them.
type report struct {
	options
	began time.Time

	mu         sync.Mutex
	rounds     int
	violations int
	jobs       int
	sum        verdict
}

func newReport(o options) *report { return &report{options: o, began: time.Now()} }

// outcome is what came of one round.
type outcome struct {
	verdict
	err  error
	took time.Duration
	dir  string
}

func (o outcome) bad() bool { return o.err != nil || len(o.wrong) > 0 }

// begin tells what is going to happen.
func (r *report) begin() {
	fmt.Fprintf(r.out, "chaos: %d fault points, struck at: %s; then %s of chance; seed %d\n", len(r.points), join(r.modes), r.random, r.seed)
}

func join[T ~string](all []T) string {
	var words []string
	for _, m := range all {
		words = append(words, string(m))
	}
	return strings.Join(words, ",")
}

// round plays one round in a stage of its own.
func (r *report) round(ctx context.Context, play func(context.Context, *stage) (verdict, int, error)) outcome {
	if ctx.Err() != nil {
		return outcome{err: context.Cause(ctx)}
	}
	began := time.Now()
	st, err := setUp(ctx, r.programs, r.dir)
	if err != nil {
		r.count(ctx, true)
		return outcome{err: err}
	}
	v, jobs, err := play(ctx, st)
	st.tearDown()
	o := outcome{verdict: v, err: err, took: time.Since(began), dir: st.dir}
	r.count(ctx, o.bad())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs += jobs
	r.sum.replayed, r.sum.lost, r.sum.untold, r.sum.again = r.sum.replayed+v.replayed, r.sum.lost+v.lost, r.sum.untold+v.untold, r.sum.again+v.again
	if !o.bad() && !r.keep {
		_ = os.RemoveAll(st.dir)
	}
	return o
}

// count counts a round. One that was interrupted broke no promise.
func (r *report) count(ctx context.Context, bad bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rounds++
	if bad && ctx.Err() == nil {
		r.violations++
	}
}

// playPoints strikes at every point in every way, some at once, and tells of them in their order.
func (r *report) playPoints(ctx context.Context) {
	type row struct {
		point    point
		outcomes []outcome
		done     sync.WaitGroup
	}
	rows := make([]*row, len(r.points))
	lanes := make(chan struct{}, r.lanes)
	for i, p := range r.points {
		rows[i] = &row{point: p, outcomes: make([]outcome, len(r.modes))}
		rows[i].done.Add(len(r.modes))
	}
	go func() {
		for _, row := range rows {
			for i, m := range r.modes {
				lanes <- struct{}{}
				go func() {
					defer func() { <-lanes }()
					defer row.done.Done()
					row.outcomes[i] = r.round(ctx, func(ctx context.Context, st *stage) (verdict, int, error) {
						v, err := strike(ctx, st, row.point, m, r.chance(row.point.name+string(m)))
						return v, len(row.point.models()), err
					})
				}()
			}
		}
	}()
	for _, row := range rows {
		row.done.Wait()
		if ctx.Err() == nil {
			r.tellPoint(row.point, row.outcomes)
		}
	}
}

// chance is that of one round: the same for the same seed, whatever else is played.
func (r *report) chance(round string) *rand.Rand {
	var sum uint64
	for _, letter := range []byte(round) {
		sum = sum*31 + uint64(letter)
	}
	return rand.New(rand.NewPCG(r.seed, sum)) //nolint:gosec // chance that can be had again
}

func (r *report) tellPoint(p point, outcomes []outcome) {
	word := "ok  "
	var times []string
	for i, o := range outcomes {
		verdict := fmt.Sprintf("%.1fs", o.took.Seconds())
		if o.bad() {
			word, verdict = "FAIL", "FAIL"
		}
		times = append(times, fmt.Sprintf("%s %s", r.modes[i], verdict))
	}
	fmt.Fprintf(r.out, "%s  %-20s  %-75s  %s\n", word, p.name, p.after, strings.Join(times, "  "))
	for i, o := range outcomes {
		if o.bad() {
			r.tellWrong(o, r.seed, fmt.Sprintf("-point %s -mode %s -random 0", p.name, r.modes[i]), string(r.modes[i]))
		}
	}
}

// tellWrong tells a violation, and how to meet it again.
func (r *report) tellWrong(o outcome, seed uint64, replay, what string) {
	fmt.Fprintf(r.out, "      %s:\n", what)
	for _, text := range o.wrong {
		fmt.Fprintf(r.out, "        %s\n", text)
	}
	if o.err != nil {
		fmt.Fprintf(r.out, "        %v\n", o.err)
	}
	fmt.Fprintf(r.out, "      again: %s -seed %d %s\n      what each party said: %s\n", r.programs.self, seed, replay, filepath.Join(o.dir, "*.out"))
}

// playRandom plays rounds of chance, some at once, for as long as it is asked to. Each has a seed of its own.
func (r *report) playRandom(ctx context.Context) {
	until := time.Now().Add(r.random)
	if r.random <= 0 {
		return
	}
	var lanes sync.WaitGroup
	var next struct {
		sync.Mutex
		seed uint64
	}
	next.seed = r.seed
	for range min(r.lanes, 4) {
		lanes.Go(func() {
			for time.Now().Before(until) && ctx.Err() == nil {
				next.Lock()
				seed := next.seed
				next.seed++
				next.Unlock()
				r.playOne(ctx, seed)
			}
		})
	}
	lanes.Wait()
}

func (r *report) playOne(ctx context.Context, seed uint64) {
	p := draw(r.kinds[seed%uint64(len(r.kinds))], rand.New(rand.NewPCG(seed, 0))) //nolint:gosec // chance that can be had again
	o := r.round(ctx, func(ctx context.Context, st *stage) (verdict, int, error) {
		v, err := p.play(ctx, st)
		return v, len(p.jobs), err
	})
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	word := "ok  "
	if o.bad() {
		word = "FAIL"
	}
	fmt.Fprintf(r.out, "%s  chance %-6d  %4.1fs  %s\n", word, seed, o.took.Seconds(), p)
	if o.bad() {
		r.tellWrong(o, seed, fmt.Sprintf("-point none -random 1ms -lanes 1 -kinds %s", p.kind), "wrong")
	}
}

// playCalm measures what the holes are, while nothing else runs.
func (r *report) playCalm(ctx context.Context) {
	if !r.calm || ctx.Err() != nil {
		return
	}
	var g gaps
	o := r.round(ctx, func(ctx context.Context, st *stage) (v verdict, n int, err error) {
		g, v, n, err = measure(ctx, st)
		return v, n, err
	})
	if ctx.Err() != nil {
		return
	}
	if o.bad() {
		fmt.Fprintf(r.out, "FAIL  calm\n")
		r.tellWrong(o, r.seed, "-point none -random 0", "nobody died")
		return
	}
	fmt.Fprintf(r.out, "ok    calm    %.1fs  from right before the fork\n", o.took.Seconds())
	fmt.Fprintf(r.out, "      until it is written down which process it is: %s\n", g.unknown)
	fmt.Fprintf(r.out, "      until the result is stored, of a worker that listens at once: %s\n", g.listens)
	fmt.Fprintf(r.out, "      the same of one that never listens, with a watch of 100 ms: %s\n", g.watched)
}

// end tells the sum and returns how many rounds broke a promise.
func (r *report) end() int {
	fmt.Fprintf(r.out, "chaos: %d rounds with %d jobs in %s: %d broke a promise\n", r.rounds, r.jobs, time.Since(r.began).Round(time.Second), r.violations)
	fmt.Fprintf(r.out, "       %d results of workers that were started before; %d workers started again behind a lost machine; %d stories cut short by a death; %d events lost with a server\n",
		r.sum.replayed, r.sum.again, r.sum.untold, r.sum.lost)
	return r.violations
}

// sweep removes what no violation left.
func (r *report) sweep() {
	reapOrphans(r.programs.hive)
	if r.violations == 0 && !r.keep {
		_ = os.RemoveAll(r.dir)
	}
}
