package spawner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// record is what the run directory keeps of a worker, in worker.json: what was asked and answered, and which process it is.
type record struct {
	entry
	// Process is the process that was started.
	Process process.Started `json:"process"`
	// answered says that the job was answered; before that, the worker is watched.
	answered bool
}

// entry is the part of a record that is known before the start.
type entry struct {
	// Job is the job that started the worker.
	Job messages.Job `json:"job"`
	// Result is the answer to it; on disk, without the process.
	Result messages.Result `json:"result"`
	// Failure is the answer instead, if the process ended while it was watched.
	Failure *messages.Error `json:"failure,omitempty"`
}

// encode returns the entry as JSON.
func (e entry) encode() ([]byte, error) {
	data := append(make([]byte, 0, 1<<10), `{"job":`...)
	data, err := e.Job.AppendJSON(data)
	if err == nil {
		data, err = e.Result.AppendJSON(append(data, `,"result":`...))
	}
	if err == nil && e.Failure != nil {
		var failure []byte
		failure, err = json.Marshal(e.Failure)
		data = append(append(data, `,"failure":`...), failure...)
	}
	if err != nil {
		return nil, fmt.Errorf("record of %s: %w", e.Result.WorkerID, err)
	}
	return append(data, '}'), nil
}

// started fills in which process the record is about.
func (r *record) started(p process.Started) {
	r.Process, r.Result.PID, r.Result.StartedAt = p, p.PID, p.At
}

// How long another start of the same worker may take until its outcome is known some other way.
const (
	startPatience = 500 * time.Millisecond // until a start that was cut short is looked for, and again
	startLimit    = 5 * time.Second        // until the caller is told to ask again; a busy machine can take long
	startPoll     = 2 * time.Millisecond
)

// claim takes the right to start the job's worker. If the worker runs already, or the job has been answered before, it
// returns the record of that instead; if the worker is another's, the error is [messages.WorkerConflict].
func (s *Spawner) claim(ctx context.Context, job messages.Job) (*process.Claim, *record, error) {
	patience, limit := time.Now().Add(startPatience), time.Now().Add(startLimit)
	for {
		claim, err := s.run.Claim(job.WorkerID)
		if err == nil {
			return s.claimed(claim, job)
		}
		if !errors.Is(err, process.ErrHeld) {
			return nil, nil, unexpected("claim the worker", err)
		}
		prior, err := s.readRecord(job.WorkerID)
		if err == nil && prior.Process.Alive() {
			return nil, prior, s.checkSame(job, *prior)
		}
		if now := time.Now(); now.After(patience) {
			prior, err := s.held(job, prior, err)
			if !errors.Is(err, messages.HiveBusy) || now.After(limit) {
				return nil, prior, err
			}
			patience = now.Add(startPatience)
		}
		if pause(ctx, startPoll) != nil {
			return nil, nil, draining("the job waits for another start of worker %s", job.WorkerID)
		}
	}
}

// held says what a lock means that stays held although the record, if there is one, names a process that has ended: a
// start that was cut short, or something that the worker left behind.
func (s *Spawner) held(job messages.Job, prior *record, err error) (*record, error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if prior, err = s.recover(job); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, unexpected("read the record of a worker that runs", err)
	case prior.Job.JobID != job.JobID:
		return nil, messages.Errorf(messages.WorkerConflict,
			"worker %s (PID %d) of job %s has ended, but a process that it started holds its lock: end that, or use another worker_id",
			job.WorkerID, prior.Process.PID, prior.Job.JobID)
	}
	return prior, s.checkSame(job, *prior)
}

// claimed looks at what an earlier run left of a worker whose lock is free. A worker that closed the descriptors it did
// not know lives all the same, and so may one whose start was cut short.
func (s *Spawner) claimed(claim *process.Claim, job messages.Job) (*process.Claim, *record, error) {
	if claim.Fresh() {
		return claim, nil, nil
	}
	prior, err := s.readRecord(job.WorkerID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		prior, err := s.recover(job)
		if errors.Is(err, messages.HiveBusy) {
			return claim, nil, nil // nothing of an earlier start runs
		}
		claim.Release()
		if err != nil {
			return nil, nil, err
		}
		return nil, prior, s.checkSame(job, *prior)
	case err != nil:
		s.cfg.Logger.Warn("record of a worker that is gone cannot be read; it is replaced", "worker", job.WorkerID, "err", err)
		return claim, nil, nil
	case prior.Process.Alive() || prior.Job.JobID == job.JobID:
		claim.Release()
		return nil, prior, s.checkSame(job, *prior)
	}
	return claim, nil, nil
}

// recover rebuilds the record of a worker that was started by a hive which died before it could write it. The error is
// [messages.HiveBusy] if no such worker is found.
func (s *Spawner) recover(job messages.Job) (*record, error) {
	var prior record
	if err := s.run.ReadStarting(job.WorkerID, &prior); err != nil {
		return nil, startedElsewhere(job)
	}
	log := prior.Result.LogPath
	if prior.Job.WorkerID != job.WorkerID || messages.CheckID(prior.Job.JobID) != nil || log != s.logPath(prior.Job) {
		log = "" // not its own, so it proves nothing
	}
	found, err := s.run.FindHolder(job.WorkerID, envWorkerID, log)
	if err != nil {
		return nil, startedElsewhere(job)
	}
	prior.started(found)
	body, err := prior.encode()
	if err == nil {
		err = s.run.WriteStarted(job.WorkerID, prior.Process, body)
	}
	if err != nil {
		return nil, unexpected("recover the worker", err)
	}
	s.cfg.Logger.Warn("found a worker whose start was cut short", "worker", job.WorkerID, "pid", found.PID)
	return &prior, nil
}

// readRecord returns what is known of the worker. The error is fs.ErrNotExist if no process of it was started, as far as is
// known.
func (s *Spawner) readRecord(worker string) (*record, error) { return readRecord(s.run, worker) }

func readRecord(run *process.RunDir, worker string) (*record, error) {
	var r record
	err := run.ReadRecord(worker, &r)
	r.answered = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		r = record{}
		if run.ReadStarting(worker, &r) == nil && r.Process.PID != 0 {
			err = nil
		}
	}
	if err == nil && r.Result.WorkerID != worker {
		err = fmt.Errorf("it is the record of worker %q", r.Result.WorkerID)
	}
	if err != nil {
		return nil, err
	}
	r.started(r.Process)
	return &r, nil
}

// replaceRecord writes down how a worker ended, unless another worker has taken its id since. Where a process that the worker
// left behind has its lock, it is written beside the record.
func (s *Spawner) replaceRecord(r record) error {
	claim, err := s.run.Claim(r.Result.WorkerID)
	for tries := 0; errors.Is(err, process.ErrHeld) && tries < 25; tries++ {
		// A child that is forked in this moment has a copy of every lock until it executes its program.
		_ = pause(context.Background(), startPoll)
		claim, err = s.run.Claim(r.Result.WorkerID)
	}
	if errors.Is(err, process.ErrHeld) {
		s.keepFailure(r, r.Failure)
		return nil
	}
	if err != nil {
		return err
	}
	defer claim.Release()
	if there, err := s.readRecord(r.Result.WorkerID); err != nil || there.Process.Identity != r.Process.Identity {
		return err
	}
	body, err := r.encode()
	if err != nil {
		return err
	}
	return claim.Replace(r.Process, body)
}

// checkSame returns an error if the worker of prior is not the one that job asks for. What the job leaves open is whatever
// the worker got.
func (s *Spawner) checkSame(job messages.Job, prior record) error {
	asked, got := job, prior.Job
	asked.QueenURL, got.QueenURL = s.queenOf(asked), s.queenOf(got)
	got.Port = prior.Result.Port
	if asked.SameSpec(got) {
		return nil
	}
	if prior.Job.JobID == job.JobID {
		return messages.Errorf(messages.WorkerConflict, "job %s came before with other values, for model %s on device %s port %d (PID %d); use another job_id or the same values",
			job.JobID, prior.Job.Model, prior.Job.Device, prior.Result.Port, prior.Process.PID)
	}
	return messages.Errorf(messages.WorkerConflict,
		"worker %s was started by job %s for model %s on device %s port %d (PID %d), which is not what this job asks for; use another worker_id or the same values",
		job.WorkerID, prior.Job.JobID, prior.Job.Model, prior.Job.Device, prior.Result.Port, prior.Process.PID)
}

// draining says that the hive stops while the job waits for what is described.
func draining(format string, args ...any) *messages.Error {
	e := messages.Errorf(messages.HiveDraining, "the hive is stopping: "+format, args...)
	e.Retryable = true
	return e
}

func startedElsewhere(job messages.Job) error {
	e := messages.Errorf(messages.HiveBusy, "worker %s is being started by another process; ask again", job.WorkerID)
	e.Retryable = true
	return e
}

// replay answers a job whose worker was started before. If that was so short ago that the worker is still being
// watched, the outcome of the watch is awaited, so that both callers are told the same.
func (s *Spawner) replay(ctx context.Context, job messages.Job, prior record, tell story) (messages.Result, error) {
	prior = s.outcome(ctx, prior)
	prior.Result.Ended = !prior.Process.Alive()
	tell.replayed(prior.Result)
	if prior.Failure == nil && !prior.answered && !prior.Process.Alive() {
		prior.Failure = s.lost(prior)
	}
	if prior.Failure != nil {
		return messages.Result{}, prior.Failure
	}
	result := prior.Result
	result.JobID, result.Replayed = job.JobID, true
	if job.Wait != messages.WaitReady {
		s.publish(prior)
		return result, nil
	}
	if err := s.awaitReady(ctx, job, prior, prior.Process.Alive, tell); err != nil {
		return messages.Result{}, err
	}
	if !prior.Process.Alive() {
		e := messages.Errorf(messages.WorkerExited, "worker %s (PID %d) has ended; its log is %s", result.WorkerID, result.PID, result.LogPath)
		s.dossier(e, prior, 0)
		return messages.Result{}, e
	}
	s.publish(prior)
	return result, nil
}

// lost says that a worker ended before its job was answered with a result, and keeps that as the answer, unless another is kept
// beside the record.
func (s *Spawner) lost(rec record) *messages.Error {
	if e := s.failureOf(rec); e != nil && e.Code == messages.WorkerExited {
		return e
	}
	e := messages.Errorf(messages.WorkerExited, "%s (PID %d) has ended, and how is not known any more; its log is %s", rec.Result.Worker, rec.Process.PID, rec.Result.LogPath)
	s.dossier(e, rec, 0)
	rec.Failure = e
	if err := s.replaceRecord(rec); err != nil {
		s.cfg.Logger.Warn("end of a worker cannot be recorded", "worker", rec.Result.WorkerID, "err", err)
	}
	return e
}

// publish makes what was written of the worker its record: its job is answered.
func (s *Spawner) publish(rec record) {
	if err := s.run.Publish(rec.Result.WorkerID); err != nil {
		s.cfg.Logger.Error("worker runs without a record", "job", rec.Job.JobID, "worker", rec.Result.WorkerID, "pid", rec.Process.PID, "err", err)
	}
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
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
