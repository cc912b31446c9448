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

func (t deleteStory) joined(rec record) {
	t.tell(messages.ActionDeleteStart, messages.Fields{PID: rec.Process.PID, Port: rec.Result.Port},
		"Worker '%s' (PID: %d) is being deleted by another job; waiting for that", t.job.WorkerID, rec.Process.PID)
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
