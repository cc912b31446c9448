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
	k := s.now(ctx, rec, logsHealthLimit)
	ended := !k.alive

	chunk, err := readLog(path, req, ended)
	if errors.Is(err, fs.ErrNotExist) {
		return answer, messages.Errorf(messages.WorkerNotFound, "worker %s has no log any more: %s was swept out", req.WorkerID, path)
	}
	if err != nil {
		return answer, unexpected("read the log of the worker", err)
	}
	answer.LogPath, answer.State = path, k.worker.State
	answer.Size, answer.Start, answer.From, answer.Next, answer.Missed = chunk.Size, chunk.Start, chunk.From, chunk.Next, chunk.Missed
	for _, line := range chunk.Lines {
		answer.Lines = append(answer.Lines, messages.Redact(line))
	}
	return answer, nil
}

// readLog reads what is asked for of the log at the path. Of a worker that has not ended, a last line without an end is not
// among it: the rest of that is to come.
func readLog(path string, req messages.LogsRequest, ended bool) (logs.Chunk, error) {
	if req.From != nil {
		return logs.Range(path, *req.From, req.Limit, ended)
	}
	chunk, err := logs.Tail(path, 0, req.Lines(), logs.MaxLimit/2)
	if err != nil || !chunk.Open {
		return chunk, err
	}
	if ended {
		chunk.Next = chunk.Size
		return chunk, nil
	}
	chunk, err = logs.Tail(path, 0, req.Lines()+1, logs.MaxLimit/2)
	if err == nil && chunk.Open {
		chunk.Lines = chunk.Lines[:len(chunk.Lines)-1]
	}
	return chunk, err
}

// logPath returns where the output of the job's worker goes: one file for each attempt.
func (s *Spawner) logPath(job messages.Job) string {
	return filepath.Join(s.cfg.LogDir, job.WorkerID+"."+job.JobID+logs.Suffix)
}
