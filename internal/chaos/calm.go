//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

// gap is how long it took from one point to another, in each of a number of jobs.
type gap []time.Duration

// String tells the middle and the longest.
func (g gap) String() string {
	if len(g) == 0 {
		return "not measured"
	}
	sorted := slices.Sorted(slices.Values(g))
	return fmt.Sprintf("p50 %s, longest %s (n=%d)", round(sorted[len(sorted)/2]), round(sorted[len(sorted)-1]), len(sorted))
}

func round(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(100 * time.Microsecond)
}

// gaps are the sizes of what docs/delivery.md calls holes.
type gaps struct {
	unknown gap // from right before the fork until it is written down which process it is
	listens gap // from there until the result is in its stream, where the worker listens at once
	watched gap // the same, where it is watched for the whole time
}

// measure plays a round in which nobody dies, one job at a time, and measures how long the windows are in which a death is not made up
// for. The watch is that of a hive that is told nothing.
func measure(ctx context.Context, st *stage) (g gaps, v verdict, n int, err error) {
	st.watch = 100 * time.Millisecond
	trace := st.path("trace")
	h, err := st.startHive("", "RBEE_FAULT_TRACE="+trace)
	if err == nil {
		err = st.awaitReady(ctx, h)
	}
	if err != nil {
		return g, v, 0, err
	}
	models := slices.Concat(slices.Repeat([]string{serving}, 30), slices.Repeat([]string{mute}, 10))
	all := jobs(models, rand.New(rand.NewPCG(1, 1))) //nolint:gosec // an order
	for i := range all {
		all[i].twice = false
		if err := st.queue(ctx, all[i]); err != nil {
			return g, v, 0, err
		}
		if err := st.drain(ctx, all); err != nil {
			return g, v, 0, err
		}
	}
	if err := g.read(trace, all); err != nil {
		return g, v, 0, err
	}
	return g, st.verify(ctx, all), len(all), nil
}

// read takes the passings of jobs that came one behind the other.
func (g *gaps) read(trace string, all []job) error {
	data, err := os.ReadFile(trace)
	if err != nil {
		return err
	}
	var opened, recorded time.Duration
	done := 0
	for line := range strings.Lines(string(data)) {
		var point string
		var at time.Duration
		if _, err := fmt.Sscan(line, &point, &at); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		switch point {
		case "process-opened":
			opened = at
		case "spawner-recorded":
			recorded = at
			g.unknown = append(g.unknown, recorded-opened)
		case "consumer-stored":
			if done >= len(all) {
				return errors.New("there are more results than jobs")
			}
			if all[done].model == mute {
				g.watched = append(g.watched, at-opened)
			} else {
				g.listens = append(g.listens, at-opened)
			}
			done++
		}
	}
	return nil
}
