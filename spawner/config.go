package spawner

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/logs"
	"github.com/rbee-keeper/hive/spawner/process"
)

// DefaultQueenURL is where workers send their heartbeats unless the hive or the job says otherwise.
const DefaultQueenURL = "http://localhost:8500"

// DefaultReadyTimeout bounds how long a job that waits for a ready worker waits, unless it says so itself. Loading a
// large model from a cold disk takes minutes.
const DefaultReadyTimeout = 10 * time.Minute

// Config says how a hive starts workers.
type Config struct {
	// HiveID is the hive's id. Required.
	HiveID string
	// RunDir is the directory of locks and records; it belongs on a tmpfs. Required.
	RunDir string
	// LogDir is the directory of the workers' logs. Required.
	LogDir string
	// CatalogDir is the directory of installed workers; empty means that there are none.
	CatalogDir string
	// DevRoot is the root of the Cargo workspace whose target directory is searched behind the catalog; empty means none.
	DevRoot string
	// Rebuild says how development builds are kept up to date; the zero value keeps none.
	Rebuild Rebuild
	// WorkDir is the working directory of the workers; empty means "/".
	WorkDir string
	// QueenURL is where workers send their heartbeats; empty means [DefaultQueenURL].
	QueenURL string
	// Ports is the range that a job's port 0 takes a free one of; zero means 9001 to 9999.
	Ports PortRange
	// Watch is how long a started process is watched before it counts as spawned; 0 means not at all. The watch ends
	// early once the worker listens on its port.
	Watch time.Duration
	// ReadyTimeout bounds a job that waits for a ready worker and does not say how long; 0 means [DefaultReadyTimeout].
	ReadyTimeout time.Duration
	// PassEnv names variables of the hive's own environment that workers get, besides the allow-list.
	PassEnv []string
	// DeviceUUID returns the UUID of the NVIDIA GPU with an index, for ${device_uuid} in manifests. Its error is told to the
	// job. Nil means what the driver of this machine tells.
	DeviceUUID func(ctx context.Context, index int) (string, error)
	// Groups says that each worker is started in a control group (cgroup v2) of its own, where one can be made: it cannot
	// leave that, whatever it does. The kernel takes about twice as long for a start.
	Groups bool
	// StopGrace is how long a worker that is deleted may take to end by itself; 0 means [process.DefaultGrace].
	StopGrace time.Duration
	// KeepLog says how much of a worker's log is kept; the zero policy keeps 3 times 64 MiB.
	KeepLog logs.Policy
	// KeepExited says which logs of workers that ended are kept; the zero retention keeps 200 for 7 days.
	KeepExited logs.Retention
	// KeepRecords is how long the record of a worker that ended is kept: as long, worker_get tells how it ended, and its job gets the
	// same answer again. 0 means [DefaultKeepRecords], less than 0 any time. Of more than 1000 only the newest are kept.
	KeepRecords time.Duration
	// SayLoading is how often a job that waits for a ready worker is told that it goes on loading; 0 means 5 seconds.
	SayLoading time.Duration
	// Devices says how the devices of this machine are found; the zero value asks this machine.
	Devices device.Config
	// Exited is told when a worker ends whose job has been answered; nil means nobody is. It is called from several
	// goroutines at once.
	Exited func(messages.Event)
	// Logger takes what no job can be told; nil means nothing is logged.
	Logger *slog.Logger
}

// PortRange is a range of TCP ports, both ends included. The zero value means 9001 to 9999.
type PortRange = process.PortRange

// ParsePortRange reads "FIRST-LAST" or a single port.
func ParsePortRange(text string) (PortRange, error) { return process.ParsePortRange(text) }

func (c Config) withDefaults() Config {
	if c.WorkDir == "" {
		c.WorkDir = "/"
	}
	if c.QueenURL == "" {
		c.QueenURL = DefaultQueenURL
	}
	if c.ReadyTimeout == 0 {
		c.ReadyTimeout = DefaultReadyTimeout
	}
	if c.StopGrace == 0 {
		c.StopGrace = process.DefaultGrace
	}
	switch {
	case c.KeepRecords == 0:
		c.KeepRecords = DefaultKeepRecords
	case c.KeepRecords < 0:
		c.KeepRecords = math.MaxInt64
	}
	if c.SayLoading <= 0 {
		c.SayLoading = sayLoading
	}
	if c.Exited == nil {
		c.Exited = func(messages.Event) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
