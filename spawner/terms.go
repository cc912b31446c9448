package spawner

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/rbee-keeper/hive/spawner/catalog"
)

// terms are what a manifest says of a worker that counts as long as it lives: they stand in its record, so that a hive that
// was started since knows them, and so that a manifest that was changed since does not change them. Nil terms are those of
// the worker contract.
type terms struct {
	// Args are the arguments that the worker was started with; nil means those of the contract.
	Args []string `json:"args,omitempty"`
	// HealthPath and HealthStatus say how it is asked whether it serves; zero means as the contract says.
	HealthPath   string `json:"health_path,omitempty"`
	HealthStatus int    `json:"health_status,omitempty"`
	// StopSignal asks it to end; empty means SIGTERM.
	StopSignal string `json:"stop_signal,omitempty"`
	// StopGraceMS is how long it may take to end, in milliseconds; 0 means the hive's setting.
	StopGraceMS int64 `json:"stop_grace_ms,omitempty"`
}

// termsOf returns what the manifest says, with args for its arguments; nil if that is nothing.
func termsOf(m *catalog.Manifest, args []string) *terms {
	if m == nil {
		return nil
	}
	t := terms{
		HealthPath: m.Health.Path, HealthStatus: m.Health.Status,
		StopSignal: m.Stop.Signal, StopGraceMS: time.Duration(m.Stop.Grace).Milliseconds(),
	}
	if m.Args == nil && t.isNone() {
		return nil
	}
	if m.Args != nil {
		t.Args = args
	}
	return &t
}

func (t *terms) isNone() bool {
	return t.HealthPath == "" && t.HealthStatus == 0 && t.StopSignal == "" && t.StopGraceMS == 0
}

// health returns the path that a health check asks for and the status that means that the worker serves.
func (t *terms) health() (path string, status int) {
	path, status = "/health", http.StatusOK
	if t != nil && t.HealthPath != "" {
		path = t.HealthPath
	}
	if t != nil && t.HealthStatus != 0 {
		status = t.HealthStatus
	}
	return path, status
}

// stop returns the signal that asks the worker to end, and how long it may take if the hive is to grant it usual.
func (t *terms) stop(usual time.Duration) (signal string, grace time.Duration) {
	signal, grace = "SIGTERM", usual
	if t != nil && t.StopSignal != "" {
		signal = t.StopSignal
	}
	if t != nil && t.StopGraceMS > 0 {
		grace = time.Duration(t.StopGraceMS) * time.Millisecond
	}
	return signal, grace
}

// append appends the terms as a field of a record.
func (t *terms) append(dst []byte) ([]byte, error) {
	if t == nil {
		return dst, nil
	}
	data, err := json.Marshal(t)
	return append(append(dst, `,"terms":`...), data...), err
}
