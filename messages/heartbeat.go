package messages

import (
	"fmt"
	"math"
	"time"
)

// HeartbeatPath is where a queen takes heartbeats (HTTP POST).
const HeartbeatPath = "/v1/worker-heartbeat"

// HeartbeatInterval is how often a worker tells its queen that it lives.
const HeartbeatInterval = 30 * time.Second

// Status is what a worker says of itself.
type Status string

// The states that a worker reports.
const (
	StatusStarting Status = "starting"
	StatusReady    Status = "ready"
	StatusBusy     Status = "busy"
	StatusStopped  Status = "stopped"
)

// Heartbeat is what a worker posts to its queen every [HeartbeatInterval] and whenever its status changes.
type Heartbeat struct {
	// Worker is the worker that lives.
	Worker WorkerInfo `json:"worker" jsonschema:"the worker that lives"`
	// Timestamp is when it was sent, on the worker's clock; a queen goes by its own.
	Timestamp time.Time `json:"timestamp" jsonschema:"when it was sent, on the worker's clock"`
}

// WorkerInfo is a worker as it describes itself.
type WorkerInfo struct {
	// ID is the worker's id.
	ID string `json:"id" jsonschema:"the worker's id"`
	// ModelID is the model that it serves.
	ModelID string `json:"model_id" jsonschema:"the model that it serves"`
	// Device is where it runs.
	Device string `json:"device" jsonschema:"where it runs"`
	// Port is the TCP port that it listens on.
	Port int `json:"port" jsonschema:"the TCP port that it listens on"`
	// Status is what it is doing.
	Status Status `json:"status" jsonschema:"starting, ready, busy or stopped"`
	// Implementation names the program.
	Implementation string `json:"implementation" jsonschema:"the program"`
	// Version is the program's version.
	Version string `json:"version" jsonschema:"the program's version"`
	// PID is its process id on its machine; 0 if it does not say.
	PID int `json:"pid,omitempty" jsonschema:"process id on its machine"`
	// HiveID is the hive that started it; empty if none did. A queen needs it to route a delete.
	HiveID string `json:"hive_id,omitempty" jsonschema:"the hive that started it"`
	// Host is the name of its machine.
	Host string `json:"host,omitempty" jsonschema:"the name of its machine"`
}

// DecodeHeartbeat reads and validates a heartbeat. The error names the field that is wrong. Fields that this version
// does not know are passed over: workers are other people's programs.
func DecodeHeartbeat(data []byte) (Heartbeat, error) {
	var beat Heartbeat
	if err := decodeStrict(data, &beat, anyField, "timestamp"); err != nil {
		return Heartbeat{}, fmt.Errorf("heartbeat: %w", err)
	}
	if err := beat.Worker.validate(); err != nil {
		return Heartbeat{}, fmt.Errorf("heartbeat: worker.%w", err)
	}
	return beat, nil
}

// Encode returns the heartbeat as it travels.
func (b Heartbeat) Encode() ([]byte, error) { return encode(b) }

func (w WorkerInfo) validate() error {
	if err := CheckID(w.ID); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	if err := optional(w.HiveID, CheckID); err != nil {
		return fmt.Errorf("hive_id: %w", err)
	}
	if w.Port < 1 || w.Port > 65535 {
		return fmt.Errorf("port: is %d; use 1 to 65535", w.Port)
	}
	switch w.Status {
	case StatusStarting, StatusReady, StatusBusy, StatusStopped:
	default:
		return fmt.Errorf("status: is %q; use starting, ready, busy or stopped", clip(string(w.Status)))
	}
	if w.PID < 0 || w.PID > math.MaxInt32 {
		return fmt.Errorf("pid: is %d; use the process id, or leave the field out", w.PID)
	}
	for _, field := range []struct{ name, text string }{
		{"model_id", w.ModelID},
		{"device", w.Device},
		{"implementation", w.Implementation},
		{"version", w.Version},
		{"host", w.Host},
	} {
		if err := checkText(field.text, 1024); err != nil {
			return fmt.Errorf("%s: %w", field.name, err)
		}
	}
	return nil
}
