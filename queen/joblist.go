package queen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// pageSize is how many jobs a page has unless the filter says otherwise, and the most that it has.
const (
	pageSize = 100
	pageMost = 1000
)

// JobFilter chooses queued jobs. The zero value means all, a page of 100.
type JobFilter struct {
	// Hive is whose; empty means any.
	Hive string
	// State is where they are; empty means anywhere.
	State JobState
	// Limit is how many to return at most, 1,000 at most; 0 means 100.
	Limit int
	// After is Next of the page before; empty means the first page.
	After string
}

// JobPage is a part of the queued jobs.
type JobPage struct {
	// Jobs are those that are in the queue, in the order in which they came; then those that left it without a result and of which a
	// trace is left, and then those with a result, the newest first in both.
	Jobs []QueuedJob `json:"jobs"`
	// Next asks for the next page, as [JobFilter.After]; empty on the last one.
	Next string `json:"next"`
}

// Where a page goes on.
const (
	inQueue   = "queue:"
	inTraces  = "traces:"
	inResults = "results:"
)

// Jobs returns a page of the jobs that the streams know, from the streams alone: no hive is asked. Jobs that came by request are among
// those with a result. One that left the queue without a result is known by the trace that [Client.Enqueue] leaves. Jobs move while
// they are listed, so two pages are not of one moment.
//
// The error is [messages.InvalidJob] if the filter is none, or wraps what [Client.Job] says.
func (c *Client) Jobs(ctx context.Context, filter JobFilter) (JobPage, error) {
	place, seq, err := filter.check()
	if err != nil {
		return JobPage{}, err
	}
	a, err := c.open(ctx)
	if err != nil {
		return JobPage{}, err
	}
	page := JobPage{Jobs: []QueuedJob{}}
	if place == inQueue {
		if full, err := a.listQueue(ctx, filter, seq, &page); full || err != nil {
			return page, err
		}
		place, seq = inTraces, math.MaxUint64
	}
	if place == inTraces {
		if full, err := a.listLost(ctx, filter, seq, &page); full || err != nil {
			return page, err
		}
		seq = a.results.CachedInfo().State.LastSeq
	}
	err = a.listResults(ctx, filter, seq, &page)
	a.inform(ctx, page.Jobs)
	return page, err
}

// check returns where the page begins.
func (f *JobFilter) check() (place string, seq uint64, err error) {
	if f.Hive != "" {
		if err := messages.CheckID(f.Hive); err != nil {
			return "", 0, messages.Errorf(messages.InvalidJob, "hive: %w", err)
		}
	}
	if f.State != "" && !slices.Contains(JobStates, f.State) {
		return "", 0, messages.Errorf(messages.InvalidJob, "state: is %s; use one of %s", f.State, stateWords())
	}
	if f.Limit < 0 || f.Limit > pageMost {
		return "", 0, messages.Errorf(messages.InvalidJob, "limit: is %d; use 1 to %d", f.Limit, pageMost)
	}
	if f.Limit == 0 {
		f.Limit = pageSize
	}
	if f.After == "" {
		return inQueue, 1, nil
	}
	for _, place := range []string{inQueue, inTraces, inResults} {
		if number, ok := strings.CutPrefix(f.After, place); ok {
			if seq, err := strconv.ParseUint(number, 10, 64); err == nil {
				return place, seq, nil
			}
		}
	}
	return "", 0, messages.Errorf(messages.InvalidJob, "after: is %q; use what the page before said comes next", f.After)
}

// wants reports whether a job belongs into the list.
func (f *JobFilter) wants(job QueuedJob) bool { return f.State == "" || f.State == job.State }

// listQueue adds what is in the queue from a place on and reports whether the page is full.
func (a *archive) listQueue(ctx context.Context, f JobFilter, seq uint64, page *JobPage) (full bool, err error) {
	if f.State != "" && !slices.Contains([]JobState{JobWaiting, JobRunning, JobDead}, f.State) {
		return false, nil
	}
	subject := a.names.JobSubjects()
	if f.Hive != "" {
		subject = a.names.HiveJobs(f.Hive)
	}
	for {
		msg, err := next(ctx, a.jobs, seq, subject)
		if err != nil {
			return false, fmt.Errorf("list stream %s: %w", a.names.Jobs, err)
		}
		if msg == nil {
			return false, nil
		}
		if len(page.Jobs) == f.Limit {
			page.Next = inQueue + strconv.FormatUint(msg.Sequence, 10)
			return true, nil
		}
		job, err := a.queued(ctx, msg)
		if err != nil {
			return false, err
		}
		if f.wants(job) {
			page.Jobs = append(page.Jobs, job)
		}
		seq = msg.Sequence + 1
	}
}

// listResults adds jobs with a result, from a place in their stream backwards, until the page is full.
func (a *archive) listResults(ctx context.Context, f JobFilter, upTo uint64, page *JobPage) error {
	if f.State != "" && f.State != JobDone && f.State != JobFailed {
		return nil
	}
	first := a.results.CachedInfo().State.FirstSeq
	window := uint64(2 * f.Limit)
	for upTo >= first && upTo > 0 {
		from := first
		if upTo-first >= window {
			from = upTo - window + 1
		}
		found, err := a.resultsBetween(ctx, f, from, upTo)
		if err != nil {
			return fmt.Errorf("list stream %s: %w", a.names.Results, err)
		}
		for _, job := range slices.Backward(found) {
			if len(page.Jobs) == f.Limit {
				page.Next = inResults + strconv.FormatUint(job.sequence, 10)
				return nil
			}
			page.Jobs = append(page.Jobs, job)
		}
		upTo, window = from-1, min(2*window, 64*pageMost)
	}
	return nil
}

// resultsBetween reads a part of the results, oldest first; sequence is their place in that stream. It is bounded by the part.
func (a *archive) resultsBetween(ctx context.Context, f JobFilter, from, upTo uint64) ([]QueuedJob, error) {
	var found []QueuedJob
	read := reading{stream: a.names.Results, subject: a.subjects.Result(f.Hive, ""), from: from}
	err := a.read(ctx, read, func(msg *jetstream.RawStreamMsg) error {
		if msg.Sequence > upTo {
			return errEnough
		}
		job := a.answered(msg)
		job.sequence = msg.Sequence
		if f.wants(job) {
			job.Answer = nil
			found = append(found, job)
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}
