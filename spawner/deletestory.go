package spawner

import (
	"fmt"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// deleteStory tells the steps of one delete, one method per step.
type deleteStory struct {
	job  messages.DeleteJob
	emit func(messages.Event)
}

func (t deleteStory) tell(action messages.Action, fields messages.Fields, format string, args ...any) {
	t.emit(messages.Event{Action: action, WorkerID: t.job.WorkerID, Human: fmt.Sprintf(format, args...), Fields: fields})
}

func (t deleteStory) start(rec record, grace time.Duration) {
	t.tell(messages.ActionDeleteStart, messages.Fields{PID: rec.Process.PID, Port: rec.Result.Port, GraceMS: grace.Milliseconds()},
		"Deleting worker '%s' (PID: %d), which has %s to end by itself", t.job.WorkerID, rec.Process.PID, grace)
}

// joined tells that the worker is being deleted already, and how long it still has; sooner that this job has made that shorter.
func (t deleteStory) joined(rec record, left time.Duration, sooner bool) {
	fields := messages.Fields{PID: rec.Process.PID, Port: rec.Result.Port, GraceMS: left.Milliseconds()}
	if sooner {
		fields.GraceMS = t.job.GraceMS
		t.tell(messages.ActionDeleteStart, fields, "Worker '%s' (PID: %d) is being deleted by another job; it has %s left to end by itself",
			t.job.WorkerID, rec.Process.PID, t.job.Grace())
		return
	}
	t.tell(messages.ActionDeleteStart, fields, "Worker '%s' (PID: %d) is being deleted by another job; waiting for that",
		t.job.WorkerID, rec.Process.PID)
}

// hurried tells that another job left the worker less time.
func (t deleteStory) hurried(rec record, by string, left time.Duration) {
	t.tell(messages.ActionDeleteHurried, messages.Fields{PID: rec.Process.PID, Port: rec.Result.Port, GraceMS: left.Milliseconds()},
		"Worker '%s' (PID: %d) has %s left to end by itself, because job '%s' asks for that",
		t.job.WorkerID, rec.Process.PID, left.Round(time.Millisecond), by)
}

// signalled tells that a signal was sent.
func (t deleteStory) signalled(signal string, processes int) {
	action := messages.ActionDeleteSigterm
	if signal == "SIGKILL" {
		action = messages.ActionDeleteSigkill
	}
	t.tell(action, messages.Fields{Signal: signal, Processes: processes},
		"%s sent to %s of worker '%s'", signal, count(processes, "process", "processes"), t.job.WorkerID)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
