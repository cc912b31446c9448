package messages

import (
	"strconv"
	"strings"
)

// Device is one device of a hive's machine.
type Device struct {
	// Device is how a job names it: "cpu", "cuda:0", "metal".
	Device string `json:"device" jsonschema:"how a job names it: cpu, cuda:N or metal"`
	// Kind is the part of that before the number, and Index the number; 0 where a machine has one of the kind.
	Kind  string `json:"kind" jsonschema:"cpu, cuda or metal"`
	Index int    `json:"index" jsonschema:"its number among those of its kind, from 0"`
	// Name is what its maker calls it; empty if that is not known.
	Name string `json:"name,omitempty" jsonschema:"what its maker calls it"`
	// UUID names an NVIDIA GPU wherever it is plugged in; empty if there is none or it is not known.
	UUID string `json:"uuid,omitempty" jsonschema:"names an NVIDIA GPU wherever it is plugged in"`
	// MemoryBytes is its memory, of a processor the machine's; 0 if that is not known or it has none of its own.
	MemoryBytes int64 `json:"memory_bytes,omitempty" jsonschema:"its memory; of a processor the machine's"`
	// MemoryUsedBytes is how much of that was in use; nil if that is not known.
	MemoryUsedBytes *int64 `json:"memory_used_bytes,omitempty" jsonschema:"how much of its memory was in use"`
	// Cores is how many logical cores the processors have; 0 of a GPU.
	Cores int `json:"cores,omitempty" jsonschema:"logical cores of the processors"`
	// MIG says that it is a MIG device, or a GPU that is divided into such.
	MIG bool `json:"mig,omitempty" jsonschema:"true of a MIG device, and of a GPU that is divided into such"`
}

// maxDevicesText bounds [DevicesText]: discovery sends it with each answer.
const maxDevicesText = 1024

// DevicesText returns the devices as a hive's metadata has them: "cpu,cuda:0=NVIDIA H100 80GB HBM3", the processor's name left
// out. What does not fit into 1024 bytes is left out, and "…" says so.
func DevicesText(devices []Device) string {
	var text strings.Builder
	for i, device := range devices {
		entry := device.Device
		if name := textName(device.Name); name != "" && device.Kind != "cpu" {
			entry += "=" + name
		}
		if text.Len()+len(entry)+len(",,…") > maxDevicesText {
			text.WriteString(",…")
			break
		}
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(entry)
	}
	return text.String()
}

// textName returns a name without what separates the entries of a text.
func textName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == ',' || r == '=' {
			return ' '
		}
		return r
	}, OneLine(name))
	return strings.Join(strings.Fields(name), " ")
}

// ParseDevices reads what [DevicesText] wrote, as far as it is understood. Of a device it tells Device, Kind, Index and Name.
func ParseDevices(text string) []Device {
	var devices []Device
	for entry := range strings.SplitSeq(text, ",") {
		word, name, _ := strings.Cut(strings.TrimSpace(entry), "=")
		kind, number, numbered := strings.Cut(word, ":")
		index, err := strconv.Atoi(number)
		if numbered && (err != nil || index < 0) || kind == "" || kind == "…" {
			continue
		}
		devices = append(devices, Device{Device: word, Kind: kind, Index: index, Name: name})
	}
	return devices
}
