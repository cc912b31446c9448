package spawner

import (
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
	return redacted(s.command(rec.Job, located{path: rec.Result.BinaryPath}, rec.Result.Port))
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
