//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// table is what a run prints: what was measured, the figure, the floor of the same run, how the two compare, and the aim.
type table struct {
	text    bytes.Buffer
	columns *tabwriter.Writer
}

func (f figures) print(w io.Writer) error {
	t := &table{}
	t.columns = tabwriter.NewWriter(&t.text, 0, 0, 3, ' ', 0)
	t.row("what", "measured", "floor of this run", "ratio", "aim")
	if f.Request != nil {
		f.Request.print(t)
	}
	if f.Queue != nil {
		f.Queue.print(t)
	}
	if f.Idle != nil {
		f.Idle.print(t)
	}
	_ = t.columns.Flush()
	fmt.Fprintf(w, "measured on %d cores, %s/%s, %s\n\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	for line := range bytes.Lines(t.text.Bytes()) {
		if _, err := fmt.Fprintf(w, "%s\n", bytes.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func (f *requestFigures) print(t *table) {
	t.row()
	f.starts(t)
	t.row()
	f.Answers.print(t)
	t.row()
	f.needs(t)
}

// row writes a row of up to five cells. Each has all five, without which the columns would not go through.
func (t *table) row(cells ...string) {
	for i := range 5 {
		cell := ""
		if i < len(cells) {
			cell = cells[i]
		}
		fmt.Fprint(t.columns, cell, "\t")
	}
	fmt.Fprintln(t.columns)
}

// starts writes what it takes to start workers.
func (f *requestFigures) starts(t *table) {
	floor := f.RoundTrip + f.BareStart
	ofFloor := func(what string, d time.Duration, aim string) {
		t.row(what+", p50", micros(d), micros(floor), times(d, floor), aim)
	}
	ofRate := func(what string, rate float64, aim string) {
		t.row(fmt.Sprintf("%s, %d at once", what, atOnce), perSecond(rate), perSecond(f.BareRate), fmt.Sprintf("%.2f", rate/f.BareRate), aim)
	}
	t.row("NATS round trip, p50", micros(f.RoundTrip))
	t.row("bare process start, p50", micros(f.BareStart))
	ofFloor("request, bare start, reply", f.Sketch, "the least there is")
	ofFloor("the contract's calls and bytes", f.Contract, "the least that the contract allows")
	ofFloor("job, one at a time", f.Job, "at most 1.60 ×")
	t.row("job, one at a time, p99", micros(f.JobP99))
	ofRate("request, bare start, reply", f.SketchRate, "the most there is")
	ofRate("the contract's calls and bytes", f.ContractRate, "the most that the contract allows")
	ofRate("jobs", f.JobRate, "at least 0.55")
	t.row("job with a 100 MB worker, p50", micros(f.LargeJob), micros(f.SmallJob)+" (small worker)", times(f.LargeJob, f.SmallJob), "about 1 ×")
}

// print writes what it takes to answer for workers, and to end them.
func (a answers) print(t *table) {
	t.row(fmt.Sprintf("NATS round trip among %d processes, p50", a.Processes), micros(a.RoundTrip))
	t.row(fmt.Sprintf("worker_list of %d workers among them, p50", listedCount), micros(a.List), micros(a.RoundTrip), more(a.List, a.RoundTrip), "at most 3000 µs")
	t.row("worker_get of one of them, p50", micros(a.Get), micros(a.RoundTrip), more(a.Get, a.RoundTrip), "at most 1000 µs more")
	t.row(fmt.Sprintf("worker_list of %d that serve, each asked, p50", listedCount), micros(a.ListServing), micros(a.Checks)+" (their health checks)", times(a.ListServing, a.Checks), "at most 3000 µs")
	t.row("worker_get of one that serves, p50", micros(a.GetServing), micros(a.RoundTrip), more(a.GetServing, a.RoundTrip), "at most 1000 µs more")
	t.row("worker_delete among them, p50", micros(a.Delete), micros(a.Exit)+" (its own exit)", more(a.Delete, a.Exit), "at most 10000 µs more")
}

// needs writes what a hive needs.
func (f *requestFigures) needs(t *table) {
	of := func(what string, m memory, aim string) {
		t.row(what, fmt.Sprintf("%.1f MB, %d threads", float64(m.RSS)/1000, m.Threads), "", "", aim)
	}
	of("idle hive", f.Idle, "at most 20 MB")
	of("hive that has started all workers of this run", f.Worn, "")
	of(fmt.Sprintf("hive with %d workers", livingCount), f.Living, "at most 10 MB more, no thread per worker")
	of(fmt.Sprintf("the same, asked %d times for all of them", lists), f.Asked, "at most 40 MB, 16 threads")
	of("the same, after kill -9 and a restart", f.Restarted, "at most 40 MB, 16 threads")
}

func micros(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/1e3) }

func perSecond(rate float64) string { return fmt.Sprintf("%.0f /s", rate) }

func times(d, floor time.Duration) string { return fmt.Sprintf("%.2f ×", float64(d)/float64(floor)) }

func more(d, floor time.Duration) string { return fmt.Sprintf("%+.0f µs", float64(d-floor)/1e3) }
