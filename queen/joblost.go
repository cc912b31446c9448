package queen

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// jobName is what tells jobs apart: two hives may have one of the same id.
type jobName struct{ hive, id string }

// listLost adds the jobs that left the queue without a result, of which only a trace is left, the newest first, from a place in the
// stream of traces backwards. It reports whether the page is full.
func (a *archive) listLost(ctx context.Context, f JobFilter, upTo uint64, page *JobPage) (full bool, err error) {
	if f.State != "" && !slices.Contains([]JobState{JobDead, JobCancelled, JobExpired, JobGone}, f.State) {
		return false, nil
	}
	traces, err := a.lostTraces(ctx, f.Hive)
	if err != nil {
		return false, fmt.Errorf("list stream %s: %w", a.names.Dead, err)
	}
	for _, trace := range traces {
		if trace.Sequence > upTo {
			continue
		}
		if len(page.Jobs) == f.Limit {
			page.Next = inTraces + strconv.FormatUint(trace.Sequence, 10)
			return true, nil
		}
		job, err := a.lost(ctx, a.traced(trace), trace)
		if err != nil {
			return false, err
		}
		if job.Job = nil; f.wants(job) {
			page.Jobs = append(page.Jobs, job)
		}
	}
	return false, nil
}

// lostTraces returns the last trace of each job that is neither in the queue nor has a result, the newest first. The streams are
// asked which subjects they hold, in the order in which a job leaves them, so that none is taken for lost that only moves.
func (a *archive) lostTraces(ctx context.Context, hive string) ([]*jetstream.RawStreamMsg, error) {
	lost, err := a.jobsOf(ctx, a.dead, a.subjects.Trace(hive, "", ""), func(words []string) jobName { return jobName{words[0], words[1]} })
	if err != nil || len(lost) == 0 {
		return nil, err
	}
	queued, err := a.jobsOf(ctx, a.jobs, a.subjects.Queued(hive, "", ""), func(words []string) jobName { return jobName{words[0], words[2]} })
	if err != nil {
		return nil, err
	}
	answered, err := a.jobsOf(ctx, a.results, a.subjects.Result(hive, ""), func(words []string) jobName { return jobName{words[0], words[1]} })
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(lost, func(job jobName, _ bool) bool { return queued[job] || answered[job] })
	traces := make([]*jetstream.RawStreamMsg, 0, len(lost))
	for job := range lost {
		trace, err := a.last(ctx, a.dead, a.subjects.Trace(job.hive, job.id, ""))
		if err != nil {
			return nil, err
		}
		if trace != nil {
			traces = append(traces, trace)
		}
	}
	slices.SortFunc(traces, func(x, y *jetstream.RawStreamMsg) int { return cmp.Compare(y.Sequence, x.Sequence) })
	return traces, nil
}

// jobsOf returns the jobs of which a stream holds something.
func (a *archive) jobsOf(ctx context.Context, stream jetstream.Stream, filter string, name func(words []string) jobName) (map[jobName]bool, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, err
	}
	jobs := make(map[jobName]bool, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		job := name(a.words(subject))
		if messages.CheckID(job.id) == nil && messages.CheckID(job.hive) == nil {
			jobs[job] = true
		}
	}
	return jobs, nil
}
