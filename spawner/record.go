package spawner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

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
	// Terms are what the worker's manifest said when it was started; nil means the worker contract.
	Terms *terms `json:"terms,omitempty"`
	// Failure is the answer instead, if the process ended while it was watched.
	Failure *messages.Error `json:"failure,omitempty"`
	// LogStart is how long the log was before the start, in bytes: what is behind that, the worker wrote.
	LogStart int64 `json:"log_start,omitempty"`
}

// encode returns the entry as JSON.
func (e entry) encode() ([]byte, error) {
	data := append(make([]byte, 0, 1<<10), `{"job":`...)
	data, err := e.Job.AppendJSON(data)
	if err == nil {
		data, err = e.Result.AppendJSON(append(data, `,"result":`...))
	}
	if err == nil {
		data, err = e.Terms.append(data)
	}
	if err == nil && e.Failure != nil {
		var failure []byte
		failure, err = json.Marshal(e.Failure)
		data = append(append(data, `,"failure":`...), failure...)
	}
	if e.LogStart > 0 {
		data = strconv.AppendInt(append(data, `,"log_start":`...), e.LogStart, 10)
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
	if err == nil {
		err = r.check(worker)
	}
	if err != nil {
		return nil, err
	}
	r.started(r.Process)
	return &r, nil
}

// check returns an error if the record is not that of the worker, or holds an id that no job has: paths are made of them.
func (r *record) check(worker string) error {
	if r.Result.WorkerID != worker || r.Job.WorkerID != worker {
		return fmt.Errorf("it is the record of worker %q", r.Result.WorkerID)
	}
	if err := messages.CheckID(r.Job.JobID); err != nil {
		return fmt.Errorf("job_id: %w", err)
	}
	return nil
}

// replaceRecord writes down how a worker ended, unless another worker has taken its id since, or over says no to what is there. Where a
// process that the worker left behind has its lock, it is written beside the record.
func (s *Spawner) replaceRecord(r record, over func(there record) bool) error {
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
	if there, err := s.readRecord(r.Result.WorkerID); err != nil || there.Process.Identity != r.Process.Identity || !over(*there) {
		return err
	}
	body, err := r.encode()
	if err != nil {
		return err
	}
	return claim.Replace(r.Process, body)
}

// publish makes what was written of the worker its record: its job is answered.
func (s *Spawner) publish(rec record) {
	if err := s.run.Publish(rec.Result.WorkerID); err != nil {
		s.cfg.Logger.Error("worker runs without a record", "job", rec.Job.JobID, "worker", rec.Result.WorkerID, "pid", rec.Process.PID, "err", err)
	}
}
