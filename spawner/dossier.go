package spawner

import (
	"errors"
	"io/fs"
	"strconv"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

// dossier adds to the error of a worker that was started what a person needs to find out why: the command line, the log and its
// last lines. from is where the worker's own output begins in its log, in bytes.
func (s *Spawner) dossier(e *messages.Error, rec record, from int64) {
	e.Command = s.argv(rec)
	e.LogPath = rec.Result.LogPath
	e.LogTail = logTail(rec.Result.LogPath, from)
}

// argv returns the command line of a worker, without credentials.
func (s *Spawner) argv(rec record) []string {
	args := s.contract(rec.Job, strconv.Itoa(rec.Result.Port))
	if rec.Terms != nil && rec.Terms.Args != nil {
		args = rec.Terms.Args
	}
	return redacted(process.Command{Path: rec.Result.BinaryPath, Args: args})
}

func redacted(cmd process.Command) []string {
	argv := make([]string, 0, 1+len(cmd.Args))
	for _, arg := range append([]string{cmd.Path}, cmd.Args...) {
		argv = append(argv, messages.Redact(arg))
	}
	return argv
}

// lived is how long a process that ended had lived, as it is told.
func lived(rec record, exit process.Exit) time.Duration {
	return max(exit.At.Sub(rec.Result.StartedAt).Round(time.Millisecond), 0)
}

// failed is how the job of a worker failed of which a process lives on, so that it cannot stand in the record.
type failed struct {
	// Process is the worker's: its id may have been taken by another since.
	Process process.Identity `json:"process"`
	// Failure is what the job was answered with.
	Failure *messages.Error `json:"failure"`
}

// keepFailure writes down what the job of a worker was answered with, for those who ask for the worker later.
func (s *Spawner) keepFailure(rec record, e *messages.Error) {
	err := s.run.WriteFailure(rec.Result.WorkerID, failed{Process: rec.Process.Identity, Failure: e})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // swept, with its directory
		s.cfg.Logger.Warn("failure of a job cannot be recorded", "job", rec.Job.JobID, "worker", rec.Result.WorkerID, "err", err)
	}
}

// failureOf returns what the job of the worker was answered with; nil if that was no failure.
func (s *Spawner) failureOf(rec record) *messages.Error {
	if rec.Failure != nil || rec.answered {
		return rec.Failure
	}
	var f failed
	err := s.run.ReadFailure(rec.Result.WorkerID, &f)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && s.records.breaks(rec.Result.WorkerID, "/failure", err) {
		s.cfg.Logger.Warn("failure of a job cannot be read", "job", rec.Job.JobID, "worker", rec.Result.WorkerID, "err", err)
	}
	if f.Process != rec.Process.Identity { // nothing was kept, or it is that of an earlier worker
		return nil
	}
	return f.Failure
}
