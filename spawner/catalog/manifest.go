package catalog

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// ManifestName is the name of the file in an entry's directory that says how its worker is started and what it can do.
const ManifestName = "worker.json"

// MaxManifest is the size in bytes of the largest manifest that is read.
const MaxManifest = 64 << 10

// Manifest says how the worker of an entry is started, asked for its health and ended. What it leaves out is as it is
// without a manifest, so that {} changes nothing. [ReadManifest] returns only what is valid.
type Manifest struct {
	// Name and Version, if given, must be those in the name of the entry's directory.
	Name    string `json:"name,omitempty" jsonschema:"name of the worker, as in the name of the entry's directory"`
	Version string `json:"version,omitempty" jsonschema:"version of the worker, as in the name of the entry's directory"`
	// Description is a line for people.
	Description string `json:"description,omitempty" jsonschema:"a line for people"`
	// WorkerType, if given, is the only type that the worker is started as: CpuLlm, CudaLlm or MetalLlm.
	WorkerType string `json:"worker_type,omitempty" jsonschema:"only type that the worker is started as: CpuLlm, CudaLlm or MetalLlm"`
	// Devices are the devices that it can serve: a kind (cpu, cuda, metal), or one GPU (cuda:0). Empty means those of
	// WorkerType, or all.
	Devices []string `json:"devices,omitzero" jsonschema:"devices that it can serve: cpu, cuda, metal, or one GPU as cuda:0; all by default"`
	// Binary is the program: a path in the entry's directory, or an absolute one of a server that was installed elsewhere.
	// Empty means a file with the name of the worker.
	Binary string `json:"binary,omitempty" jsonschema:"the program: a path in the entry's directory, or an absolute one of a server that is installed elsewhere"`
	// SHA256 is the checksum of the program, in hexadecimal. Empty means that it is not compared.
	SHA256 string `json:"sha256,omitempty" jsonschema:"checksum of the program, 64 hexadecimal digits in lower case"`
	// Args is the argument vector behind the program, each a template (see [Expand]). Nil means the arguments of the worker
	// contract; an empty list means none.
	Args []string `json:"args,omitzero" jsonschema:"arguments, in which ${model} and the like stand for the job's values; those of the worker contract by default"`
	// Env says what the worker's environment holds besides the hive's allow-list.
	Env Env `json:"env,omitzero" jsonschema:"what the worker's environment holds besides the hive's allow-list"`
	// Files are further files that must be there: paths in the entry's directory, or absolute ones.
	Files []string `json:"files,omitzero" jsonschema:"further files that must be there: paths in the entry's directory, or absolute ones"`
	// Health says how the worker is asked whether it serves.
	Health Health `json:"health,omitzero" jsonschema:"how the worker is asked whether it serves"`
	// Stop says how the worker is ended.
	Stop Stop `json:"stop,omitzero" jsonschema:"how the worker is ended"`
	// Build is a command that makes the program. It counts below a development root alone: an entry of a catalog is never
	// built, so there it is read, checked and not used.
	Build []string `json:"build,omitzero" jsonschema:"command that makes the program; used below a development root and ignored in a catalog"`
}

// Env says what a worker's environment holds besides the hive's allow-list, from which Strip takes away. It never touches
// the variables that the hive itself sets (RBEE_…), and hands on none of the hive's secrets (NATS_…).
type Env struct {
	// Set sets variables; each value is a template, as an argument is.
	Set map[string]string `json:"set,omitzero" jsonschema:"variables to set; in the values ${model} and the like stand for the job's"`
	// Pass names variables of the hive's own environment that are passed on where they are set.
	Pass []string `json:"pass,omitzero" jsonschema:"names of the hive's own variables that are passed on"`
	// Strip names variables that are not passed on, whatever else says so. A name that ends in * means all that begin so.
	Strip []string `json:"strip,omitzero" jsonschema:"names of variables that are not passed on; a * at the end means all that begin so"`
}

// Health says how a worker is asked whether it serves.
type Health struct {
	// Path is the path of the URL on the worker's port, with a query if need be. Empty means /health.
	Path string `json:"path,omitempty" jsonschema:"path of the URL on the worker's port; /health by default"`
	// Status is the status that means that it serves; 0 means 200.
	Status int `json:"status,omitempty" jsonschema:"HTTP status that means that it serves; 200 by default"`
}

// Stop says how a worker is ended.
type Stop struct {
	// Signal is what asks it to end, one of [Signals]; empty means SIGTERM. SIGKILL does not ask.
	Signal string `json:"signal,omitempty" jsonschema:"signal that asks it to end; SIGTERM by default"`
	// Grace is how long it may take to end before it is killed; 0 means the hive's setting.
	Grace Duration `json:"grace,omitempty" jsonschema:"how long it may take before it is killed, as 30s; the hive's setting by default"`
}

// Duration is a time.Duration that is written as Go writes one: "1m30s".
type Duration time.Duration

// MarshalText returns the duration as it is written.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// MaxGrace is the longest grace that a manifest may give.
const MaxGrace = Duration(time.Hour)

// Signals are the names of the signals that a manifest may stop a worker with.
var Signals = []string{"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"}

// kinds are the kinds of devices and the worker type of each.
var kinds = map[string]string{"cpu": "CpuLlm", "cuda": "CudaLlm", "metal": "MetalLlm"}

// Serves reports whether the worker can serve the device of a kind (cpu, cuda, metal) with an index. A nil manifest serves
// all.
func (m *Manifest) Serves(kind, device string) bool {
	if m == nil {
		return true
	}
	if m.WorkerType != "" && m.WorkerType != kinds[kind] {
		return false
	}
	return len(m.Devices) == 0 || slices.Contains(m.Devices, kind) || slices.Contains(m.Devices, device)
}

// Served says for people which devices the worker serves.
func (m *Manifest) Served() string {
	switch {
	case m == nil, m.WorkerType == "" && len(m.Devices) == 0:
		return "all"
	case len(m.Devices) > 0:
		return strings.Join(m.Devices, ", ")
	}
	for kind, worker := range kinds {
		if worker == m.WorkerType {
			return kind
		}
	}
	return m.WorkerType
}

// HealthPath returns the path of the health check; that of the worker contract where m is nil or names none.
func (m *Manifest) HealthPath() string {
	if m == nil {
		return "/health"
	}
	return cmp.Or(m.Health.Path, "/health")
}

// HealthStatus returns the status of a healthy worker; that of the worker contract where m is nil or names none.
func (m *Manifest) HealthStatus() int {
	if m == nil {
		return 200
	}
	return cmp.Or(m.Health.Status, 200)
}
