package spawner

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/logs"
)

// Logs returns a part of a worker's log, also of one that has exited as long as its log is kept. Lines carry no credentials
// of URLs. The error is a [messages.WorkerNotFound] if the hive knows no such worker or its log was swept out.
func (s *Spawner) Logs(ctx context.Context, req messages.LogsRequest) (messages.Logs, error) {
	answer := messages.Logs{HiveID: s.cfg.HiveID, WorkerID: req.WorkerID}
	rec, err := s.find(req.WorkerID)
	if err != nil {
		return answer, err
	}
	path := s.logPath(rec.Job)
	if rec.Result.LogPath != path {
		return answer, messages.Errorf(messages.Internal, "the record of worker %s names the log %s, which is not its own: %s was tampered with, or the hive ran with another --log-dir",
			req.WorkerID, rec.Result.LogPath, s.run.Path())
	}
	// Whether it has exited is asked before the log is read: what it wrote last is in what follows.
	m := s.lookAt(*rec)
	defer s.seen(m)
	workers := []known{s.facts(m, *rec)}
	s.askHealth(ctx, m, workers)
	ended := !workers[0].alive

	var chunk logs.Chunk
	if req.From != nil {
		chunk, err = logs.Range(path, *req.From, req.Limit, ended)
	} else {
		chunk, err = logs.Tail(path, 0, req.Lines(), logs.MaxLimit/2)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return answer, notFound(req.WorkerID, "worker %s has no log any more: %s was swept out", req.WorkerID, path)
	}
	if err != nil {
		return answer, unexpected("read the log of the worker", err)
	}
	answer.LogPath, answer.State = path, workers[0].worker.State
	answer.Size, answer.Start, answer.From, answer.Next, answer.Missed = chunk.Size, chunk.Start, chunk.From, chunk.Next, chunk.Missed
	if req.From == nil && chunk.Open && ended {
		answer.Next = chunk.Size
	}
	if req.From == nil && chunk.Open && !ended { // the rest of that line is to come
		chunk.Lines = chunk.Lines[:len(chunk.Lines)-1]
	}
	for _, line := range chunk.Lines {
		answer.Lines = append(answer.Lines, messages.Redact(line))
	}
	return answer, nil
}

// logPath returns where the output of the job's worker goes: one file for each attempt.
func (s *Spawner) logPath(job messages.Job) string {
	return filepath.Join(s.cfg.LogDir, job.WorkerID+"."+job.JobID+logs.Suffix)
}
