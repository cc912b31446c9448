package messages

import "time"

// HiveInfo answers a [StatusRequest].
type HiveInfo struct {
	// HiveID is the hive that answers.
	HiveID string `json:"hive_id" jsonschema:"the hive that answers"`
	// Version is the version of its program.
	Version string `json:"version" jsonschema:"version of its program"`
	// Platform is its machine's operating system and architecture, like "linux/amd64".
	Platform string `json:"platform" jsonschema:"operating system and architecture, like linux/amd64"`
	// Devices are the devices that a job can name on this machine; "cpu" is always among them.
	Devices []Device `json:"devices" jsonschema:"devices of its machine that a job can name"`
	// DevicesProblem says what of the devices could not be found out, and why; empty if all is known.
	DevicesProblem string `json:"devices_problem,omitempty" jsonschema:"what of the devices could not be found out, and why"`
	// Workers is how many workers run.
	Workers int `json:"workers" jsonschema:"how many workers run"`
	// JobsRunning is how many jobs are at work, and JobsWaiting how many stand in line behind them.
	JobsRunning int `json:"jobs_running" jsonschema:"how many jobs are at work"`
	JobsWaiting int `json:"jobs_waiting" jsonschema:"how many jobs stand in line"`
	// Queue names where its queued jobs wait; empty if it takes none.
	Queue string `json:"queue,omitempty" jsonschema:"where its queued jobs wait; absent if it takes none"`
	// StartedAt is when its process started, on its own clock.
	StartedAt time.Time `json:"started_at" jsonschema:"when its process started (RFC 3339, UTC)"`
}

// Encode returns the answer as it travels.
func (i HiveInfo) Encode() ([]byte, error) {
	if i.Devices == nil {
		i.Devices = []Device{}
	}
	return encode(i)
}

// DecodeHive reads the answer to a [StatusRequest]. If the hive answered with a [Failure], the error is its [*Error].
// Fields that this version does not know are passed over.
func DecodeHive(data []byte) (HiveInfo, error) {
	return decodeAnswer[HiveInfo](data, "a hive's status")
}

func (i HiveInfo) complete() bool { return i.HiveID != "" && i.Devices != nil }
func (i HiveInfo) ids() HiveInfo  { return HiveInfo{HiveID: i.HiveID} }
