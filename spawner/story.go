package spawner

import (
	"fmt"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/catalog"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/process"
)

// story tells the steps of one job, one method per step.
type story struct {
	job  messages.Job
	emit func(messages.Event)
}

// replayAttempt is the attempt of an answer that repeats an earlier one: the hive keeps no count of them.
const replayAttempt = 2

func (t story) tell(action messages.Action, fields messages.Fields, format string, args ...any) {
	t.emit(messages.Event{Action: action, WorkerID: t.job.WorkerID, Human: messages.Redact(fmt.Sprintf(format, args...)), Fields: fields})
}

func (t story) start(port int) {
	t.tell(messages.ActionSpawnStart, messages.Fields{Model: messages.Redact(t.job.Model), Device: t.job.Device, Port: port},
		"🚀 Spawning worker '%s' for model '%s' on device '%s' port %d", t.job.WorkerID, t.job.Model, t.job.Device, port)
}

func (t story) typeDetermined(worker device.WorkerType) {
	t.tell(messages.ActionTypeDetermined, messages.Fields{WorkerType: string(worker), Device: t.job.Device},
		"Worker type: %s (device: %s)", worker, t.job.Device)
}

// deviceUnknown tells that nobody can tell whether the machine has the job's device.
func (t story) deviceUnknown(why *device.UnknownError) {
	t.emit(messages.Event{
		Action: messages.ActionDeviceUnknown, Level: messages.LevelWarn, WorkerID: t.job.WorkerID, Fields: messages.Fields{Device: t.job.Device},
		Human: messages.OneLine(fmt.Sprintf("Device %s is not verified: %s", t.job.Device, why.Why)),
	})
}

func (t story) binarySkipped(skipped []catalog.Broken) {
	for _, broken := range skipped {
		t.emit(messages.Event{
			Action: messages.ActionBinarySkipped, Level: messages.LevelWarn, WorkerID: t.job.WorkerID,
			Human: fmt.Sprintf("Skipped %s: %v", broken.Path, broken.Err), Fields: messages.Fields{BinaryPath: broken.Path},
		})
	}
}

func (t story) binaryFound(found located) {
	fields := messages.Fields{BinaryPath: found.path, Source: found.source, Worker: found.worker, Version: found.version}
	switch found.source {
	case sourceCatalog:
		t.tell(messages.ActionBinaryCatalog, fields, "Found in the catalog: %s %s", found.worker, found.version)
	case sourceDebug:
		t.tell(messages.ActionBinaryDebug, fields, "Found in the development tree: %s", found.place())
	case sourceRelease:
		t.tell(messages.ActionBinaryRelease, fields, "Found in the development tree: %s", found.place())
	}
	t.tell(messages.ActionBinaryFound, fields, "Worker binary: %s", found.path)
}

func (t story) command(cmd process.Command) {
	args := redacted(cmd)[1:]
	t.tell(messages.ActionSpawnCommand, messages.Fields{BinaryPath: cmd.Path, Args: args, LogPath: cmd.LogPath},
		"Command: %s %s", cmd.Path, strings.Join(args, " "))
}

func (t story) spawned(r messages.Result) {
	t.tell(messages.ActionSpawned, messages.Fields{PID: r.PID, Port: r.Port, LogPath: r.LogPath},
		"✅ Worker '%s' spawned (PID: %d, port: %d)", r.WorkerID, r.PID, r.Port)
}

// loading tells that a worker that is not ready yet goes on: it is slow, not dead.
func (t story) loading(r messages.Result, p progress, took time.Duration) {
	t.tell(messages.ActionLoading, messages.Fields{PID: r.PID, Port: r.Port, LogBytes: p.log, CPUMS: p.cpu.Milliseconds(), TookMS: took.Milliseconds()},
		"Worker '%s' has been loading for %s: %s", r.WorkerID, took.Round(time.Second), p)
}

func (t story) ready(r messages.Result, took time.Duration) {
	t.tell(messages.ActionReady, messages.Fields{PID: r.PID, Port: r.Port, TookMS: took.Milliseconds()},
		"Worker '%s' is ready after %d ms", r.WorkerID, took.Milliseconds())
}

func (t story) replayed(r messages.Result) {
	since := ""
	if r.Ended {
		since = " and has ended since"
	}
	t.emit(messages.Event{
		Action: messages.ActionSpawnReplayed, WorkerID: r.WorkerID, Attempt: replayAttempt,
		Human:  fmt.Sprintf("Worker '%s' was started already at %s (PID: %d, port: %d)%s", r.WorkerID, r.StartedAt.Format(time.RFC3339), r.PID, r.Port, since),
		Fields: messages.Fields{PID: r.PID, Port: r.Port, LogPath: r.LogPath},
	})
}

func (t story) exited(r messages.Result, exit process.Exit, oom bool) {
	t.emit(exitEvent(r, exit, oom))
}

// exitEvent tells that a worker's process ended; inside its job if that is still running, outside any job otherwise.
func exitEvent(r messages.Result, exit process.Exit, oom bool) messages.Event {
	lived := exit.At.Sub(r.StartedAt).Round(time.Millisecond)
	fields := messages.Fields{
		PID: r.PID, Port: r.Port, LogPath: r.LogPath, StartedBy: r.JobID, TookMS: lived.Milliseconds(), Signal: exit.Signal, OOMKilled: oom,
	}
	if exit.Signal == "" && !exit.Unknown {
		fields.ExitCode = &exit.Code
	}
	level := messages.LevelWarn
	if exit.Clean() || exit.Unknown {
		level = messages.LevelInfo
	}
	why := ""
	if oom {
		why = ", because memory ran out"
	}
	return messages.Event{
		Action: messages.ActionExited, Level: level, WorkerID: r.WorkerID, Fields: fields,
		Human: fmt.Sprintf("Worker '%s' (PID: %d) %s after %s%s", r.WorkerID, r.PID, exit, lived, why),
	}
}
