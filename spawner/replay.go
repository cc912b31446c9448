package spawner

import (
	"context"
	"time"

	"github.com/rbee-keeper/hive/internal/fault"
	"github.com/rbee-keeper/hive/messages"
)

// replay answers a job whose worker was started before. If that was so short ago that the worker is still being
// watched, the outcome of the watch is awaited, so that both callers are told the same.
func (s *Spawner) replay(ctx context.Context, job messages.Job, prior record, tell story) (messages.Result, error) {
	fault.Point("spawner-met")
	prior = s.outcome(ctx, prior)
	prior.Result.Ended = !prior.Process.Alive()
	tell.replayed(prior.Result)
	if prior.Failure == nil && !prior.answered && !prior.Process.Alive() {
		prior.Failure = s.lost(ctx, &prior)
		prior.Result.Ended = true
	}
	if prior.Failure != nil {
		return messages.Result{}, prior.Failure
	}
	result := prior.Result
	result.JobID, result.Replayed = job.JobID, true
	mine := prior.Job.JobID == job.JobID
	switch {
	case job.Wait != messages.WaitReady:
		if mine || prior.Job.Wait != messages.WaitReady { // else its own job waits for more than this one, and may fail
			s.publish(prior)
		}
		return result, nil
	case mine && prior.answered && result.Ended:
		return result, nil // its job was answered when it was ready
	}
	if err := s.awaitReady(ctx, job, prior, prior.Process.Alive, nil, tell); err != nil {
		return messages.Result{}, err
	}
	if prior.Process.Alive() {
		s.publish(prior)
		return result, nil
	}
	if !mine {
		e := messages.Errorf(messages.WorkerExited, "worker %s (PID %d) has ended; its log is %s", result.WorkerID, result.PID, result.LogPath)
		s.dossier(e, prior, 0)
		return messages.Result{}, e
	}
	if e := s.lost(ctx, &prior); e != nil {
		return messages.Result{}, e
	}
	result.Ended = true
	return result, nil
}

// verdict waits a moment for whoever else has the job at work to write down what it is answered with, now that its worker has ended, and
// returns the record as it is then.
func (s *Spawner) verdict(ctx context.Context, rec record) record {
	const patience = 250 * time.Millisecond
	for limit := time.Now().Add(patience); !rec.answered && time.Now().Before(limit) && pause(ctx, startPoll) == nil; {
		if again, err := s.readRecord(rec.Result.WorkerID); err == nil && again.Process.Identity == rec.Process.Identity {
			rec = *again
		}
	}
	return rec
}

// lost says that a worker ended before its job was answered with a result, and keeps that as the answer, unless another is kept: in the
// record, which rec then is, or beside it. It returns nil if the job was answered with a result after all.
func (s *Spawner) lost(ctx context.Context, rec *record) *messages.Error {
	*rec = s.verdict(ctx, *rec)
	if e := s.failureOf(*rec); rec.answered || e != nil && e.Code == messages.WorkerExited {
		return e
	}
	e := messages.Errorf(messages.WorkerExited, "%s (PID %d) has ended, and how is not known any more; its log is %s", rec.Result.Worker, rec.Process.PID, rec.Result.LogPath)
	s.dossier(e, *rec, 0)
	ended := *rec
	ended.Failure = e
	err := s.replaceRecord(ended, func(there record) bool {
		if there.answered {
			*rec, e = there, there.Failure
		}
		return !there.answered
	})
	if err != nil {
		s.cfg.Logger.Warn("end of a worker cannot be recorded", "worker", rec.Result.WorkerID, "err", err)
	}
	return e
}

// outcome waits until the watch of a worker that was started a moment ago is over, with a little more for who watches it to
// write down how it ended, and returns its record as it is then.
func (s *Spawner) outcome(ctx context.Context, rec record) record {
	const slack = 50 * time.Millisecond
	settled := rec.Result.StartedAt.Add(s.cfg.Watch + slack)
	if latest := time.Now().Add(s.cfg.Watch + slack); settled.After(latest) {
		settled = latest // the clock was set back
	}
	if s.cfg.Watch == 0 || !time.Now().Before(settled.Add(slack)) {
		return rec
	}
	for rec.Failure == nil && !rec.answered && pause(ctx, startPoll) == nil {
		if again, err := s.readRecord(rec.Result.WorkerID); err == nil {
			rec = *again
		}
		now := time.Now()
		if now.After(settled.Add(slack)) || now.After(settled) && rec.Process.Alive() {
			break
		}
	}
	return rec
}

// pause waits for d, or less if ctx ends first, which is the error.
func pause(ctx context.Context, d time.Duration) error { return pauseOr(ctx, d, nil) }

// pauseOr is pause that returns when enough is closed, too.
func pauseOr(ctx context.Context, d time.Duration, enough <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-enough:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
