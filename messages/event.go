package messages

import (
	"encoding/json"
	"fmt"
	"time"
)

// EventType is the type field of every narration event.
const EventType = "io.rbee.hive.v1.narration"

// Actor is the actor field of every event that a hive publishes.
const Actor = "rbee-hive"

// Action names what an event tells.
type Action string

// The actions, in the order in which a spawn and a delete tell them.
const (
	ActionSpawnStart     Action = "worker_spawn_start"
	ActionTypeDetermined Action = "worker_type_determined"
	ActionDeviceUnknown  Action = "worker_device_unknown" // the job goes on: its worker will find out
	ActionBinarySkipped  Action = "worker_binary_skipped"
	ActionAutoUpdate     Action = "auto_update"  // a development build was compared with its sources
	ActionAutoRebuild    Action = "auto_rebuild" // one step of building it, or one line of what the build prints
	ActionBinaryCatalog  Action = "worker_binary_catalog"
	ActionBinaryDebug    Action = "worker_binary_debug"
	ActionBinaryRelease  Action = "worker_binary_release"
	ActionBinaryFound    Action = "worker_binary_found"
	ActionSpawnCommand   Action = "worker_spawn_command"
	ActionSpawned        Action = "worker_spawned"
	ActionLoading        Action = "worker_loading" // a worker that is not ready yet goes on: slow is not dead
	ActionReady          Action = "worker_ready"
	ActionSpawnReplayed  Action = "worker_spawn_replayed"
	// ActionSpawnComplete is the last event of a job that succeeded.
	ActionSpawnComplete Action = "worker_spawn_complete"
	// ActionSpawnFailed is the last event of a job that failed.
	ActionSpawnFailed Action = "worker_spawn_failed"

	ActionDeleteStart   Action = "worker_delete_start"
	ActionDeleteSigterm Action = "worker_delete_sigterm"
	ActionDeleteHurried Action = "worker_delete_hurried" // another job that deletes the worker left it less time
	ActionDeleteSigkill Action = "worker_delete_sigkill"
	// ActionDeleteComplete is the last event of a job that deleted its worker: nothing of it runs any more.
	ActionDeleteComplete Action = "worker_delete_complete"
	// ActionDeleteFailed is the last event of a job that did not delete its worker.
	ActionDeleteFailed Action = "worker_delete_failed"
	// ActionRetry is the last event of an attempt at a queued job that failed for now: the job itself goes on, and another attempt
	// tells its own story.
	ActionRetry Action = "job_retry"
	// ActionExited tells that a worker's process ended, however long after its job.
	ActionExited Action = "worker_exited"

	ActionHiveStarted  Action = "hive_started"
	ActionHiveDraining Action = "hive_draining"
	ActionHiveStopped  Action = "hive_stopped"
)

// Level says how much an event matters.
type Level string

// The levels.
const (
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
)

// Event is one step of a job's story, or one fact about a hive or a worker outside any job.
type Event struct {
	// Type is always [EventType].
	Type string `json:"type" jsonschema:"io.rbee.hive.v1.narration"`
	// ID is unique to the event; ids made later sort later.
	ID string `json:"id" jsonschema:"unique to the event"`
	// Seq counts the events of one story from 1 without a gap; 0 on an event outside any job.
	Seq int `json:"seq" jsonschema:"1, 2, 3 … within one story; 0 outside any job"`
	// Time is when the event happened, on the hive's clock, in UTC.
	Time time.Time `json:"time" jsonschema:"when it happened (RFC 3339, UTC)"`
	// Level says how much the event matters.
	Level Level `json:"level" jsonschema:"info, warn or error"`
	// Actor is always [Actor].
	Actor string `json:"actor" jsonschema:"rbee-hive"`
	// Action names what the event tells.
	Action Action `json:"action" jsonschema:"what the event tells"`
	// Target is what the event is about: a worker's id or the hive's.
	Target string `json:"target" jsonschema:"the worker or hive that the event is about"`
	// HiveID is the hive that tells.
	HiveID string `json:"hive_id" jsonschema:"the hive that tells"`
	// JobID is the job that the event belongs to; empty outside any job.
	JobID string `json:"job_id,omitempty" jsonschema:"the job that the event belongs to; absent outside any job"`
	// WorkerID is the worker that the event is about; empty if it is about none.
	WorkerID string `json:"worker_id,omitempty" jsonschema:"the worker that the event is about"`
	// Attempt is 2 where an earlier answer is replayed and 1 in any other story, of a queued job the number of the delivery
	// where that is more; 0 on an event outside any job.
	Attempt int `json:"attempt" jsonschema:"2 where an earlier answer is replayed, else 1; of a queued job the number of the delivery if that is more; 0 outside any job"`
	// Terminal marks the last event of a story.
	Terminal bool `json:"terminal" jsonschema:"true on the last event of a story"`
	// Human is the event in one line for a person.
	Human string `json:"human" jsonschema:"the event in one line for a person"`
	// Fields holds the event's values for a program.
	Fields Fields `json:"fields,omitzero" jsonschema:"the event's values for a program"`
}

// Fields holds the values of an event, so that nobody has to parse its text. A field that says nothing is left out.
type Fields struct {
	// Model, Device, Port and WorkerType say what is being started.
	Model      string `json:"model,omitempty" jsonschema:"model to serve"`
	Device     string `json:"device,omitempty" jsonschema:"device to run on"`
	Port       int    `json:"port,omitempty" jsonschema:"TCP port of the worker"`
	WorkerType string `json:"worker_type,omitempty" jsonschema:"CpuLlm, CudaLlm or MetalLlm"`
	// BinaryPath, Source, Worker and Version say which file it is and where it was found.
	BinaryPath string `json:"binary_path,omitempty" jsonschema:"path of the binary"`
	Source     string `json:"source,omitempty" jsonschema:"where it was found: catalog, debug or release"`
	Worker     string `json:"worker,omitempty" jsonschema:"catalog name of the worker"`
	Version    string `json:"version,omitempty" jsonschema:"version of the worker, or of the hive on an event about a hive"`
	// Args is the argument vector behind the binary, without secrets.
	Args []string `json:"args,omitempty" jsonschema:"arguments behind the binary, without secrets"`
	// PID is the worker's process id.
	PID int `json:"pid,omitempty" jsonschema:"process id of the worker"`
	// LogPath is the file that takes the worker's output.
	LogPath string `json:"log_path,omitempty" jsonschema:"file that takes the worker's output"`
	// StartedBy is the job that started the worker that ended.
	StartedBy string `json:"started_by,omitempty" jsonschema:"job that started the worker that ended"`
	// TookMS is how long the step took, in milliseconds.
	TookMS int64 `json:"took_ms,omitempty" jsonschema:"how long it took, in milliseconds"`
	// ExitCode, Signal and OOMKilled say how a worker's process ended.
	ExitCode *int   `json:"exit_code,omitempty" jsonschema:"exit code of the worker's process, if it exited"`
	Signal   string `json:"signal,omitempty" jsonschema:"signal that ended the worker's process, if one did"`
	// OOMKilled says that the kernel ended the process because memory ran out; false also where that cannot be known.
	OOMKilled bool `json:"oom_killed,omitempty" jsonschema:"true if the kernel ended the worker because memory ran out"`
	// Error is what failed.
	Error *Error `json:"error,omitempty" jsonschema:"what failed"`
	// Processes is how many processes of a worker a signal reaches, or have ended; GraceMS is how long they have to obey it.
	Processes int   `json:"processes,omitempty" jsonschema:"number of the worker's processes"`
	GraceMS   int64 `json:"grace_ms,omitempty" jsonschema:"how long the worker has to end by itself, in milliseconds"`
	// LogBytes and CPUMS are how far a worker that loads has come: what it wrote and the processor time that it took.
	LogBytes int64 `json:"log_bytes,omitempty" jsonschema:"what the worker wrote so far, in bytes"`
	CPUMS    int64 `json:"cpu_ms,omitempty" jsonschema:"processor time of the worker so far, in milliseconds"`
	// StaleFile is the file because of which a development build is out of date; DroppedLines is how much of the output of its
	// build is not told.
	StaleFile    string `json:"stale_file,omitempty" jsonschema:"file because of which a development build is out of date"`
	DroppedLines int    `json:"dropped_lines,omitempty" jsonschema:"lines of a build's output that are not told"`
	// Version and platform of a hive that starts; the number of its jobs when it drains.
	Platform string `json:"platform,omitempty" jsonschema:"operating system and architecture of the hive"`
	Jobs     int    `json:"jobs,omitempty" jsonschema:"number of jobs that a draining hive finishes"`
}

// Stamp gives the event its type, its actor, a fresh id and the time, and fills level and target where they are empty.
func (e *Event) Stamp(now time.Time) {
	e.Type, e.Actor, e.ID, e.Time = EventType, Actor, newUUID(), now.UTC()
	if e.Level == "" {
		e.Level = LevelInfo
	}
	if e.Target == "" {
		e.Target = e.WorkerID
	}
	if e.Target == "" {
		e.Target = e.HiveID
	}
}

// About returns the word that stands for the event's job in its subject: the job id, [AboutWorker] or [AboutHive].
func (e Event) About() string {
	switch {
	case e.JobID != "":
		return e.JobID
	case e.WorkerID != "":
		return AboutWorker
	}
	return AboutHive
}

// Encode returns the event as it travels.
func (e Event) Encode() ([]byte, error) { return e.AppendJSON(nil) }

// DecodeEvent reads a narration event. Fields that this version does not know are passed over; what is not a narration
// event is an error.
func DecodeEvent(data []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(data, &e); err != nil {
		return Event{}, fmt.Errorf("read a narration event: %w", err)
	}
	if e.Type != EventType {
		return Event{}, fmt.Errorf("read a narration event: its type is %q, not %q", clip(e.Type), EventType)
	}
	return e, nil
}
