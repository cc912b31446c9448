package device

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// smiFields are what nvidia-smi is asked for, in the order of its columns. A driver before 450 (2020) does not know the last
// and refuses the whole question for it. The name comes third because it alone may hold a comma.
var smiFields = []string{"index", "uuid", "name", "pci.bus_id", "memory.total", "memory.used", "mig.mode.current"}

// smiQuery returns the arguments that ask for the first n fields.
func smiQuery(n int) []string {
	return []string{"--query-gpu=" + strings.Join(smiFields[:n], ","), "--format=csv,noheader,nounits"}
}

// parseSMI reads what nvidia-smi says to smiQuery(n): the GPUs by their indices, and the lines that tell of none. A line
// that is no row, or a row whose GPU has no sound index and neither name nor UUID, loses only itself: nvidia-smi mixes its
// warnings with the rows, and writes [Unknown Error] into the row of a card that has fallen off the bus.
func parseSMI(out string, n int) (gpus []Found, bad []string) {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		gpu, ok := parseRow(line, n)
		if !ok || slices.ContainsFunc(gpus, func(g Found) bool { return g.Index == gpu.Index }) {
			bad = append(bad, line)
			continue
		}
		gpus = append(gpus, gpu)
	}
	slices.SortFunc(gpus, func(a, b Found) int { return a.Index - b.Index })
	return gpus, bad
}

func parseRow(line string, n int) (Found, bool) {
	columns := strings.Split(line, ",")
	if len(columns) < n {
		return Found{}, false
	}
	const before = 2 // the columns before the name
	behind := len(columns) - (n - before - 1)
	name := strings.Join(columns[before:behind], ",")
	rest := columns[behind:]
	index, ok := parseIndex(strings.TrimSpace(columns[0]))
	gpu := Found{Device: Device{Kind: CUDA, Index: index}, Name: tidy(value(name), 128), UUID: parseUUID(columns[1])}
	if !ok || gpu.Name == "" && gpu.UUID == "" {
		return Found{}, false
	}
	gpu.bus = tidy(value(rest[0]), 32)
	if total, ok := parseMiB(rest[1]); ok {
		gpu.Memory = total
	}
	if used, ok := parseMiB(rest[2]); ok {
		gpu.Used = &used
	}
	gpu.MIG = len(rest) > 3 && value(rest[3]) == "Enabled"
	return gpu, true
}

// value returns what stands in a column, or "" where that says that it is not known: [N/A], [Not Supported], [Unknown
// Error], [GPU is lost], [Insufficient Permissions], ERR! and their like.
func value(column string) string {
	column = strings.TrimSpace(column)
	switch {
	case strings.HasPrefix(column, "[") && strings.HasSuffix(column, "]"), column == "N/A", column == "Not Supported", column == "ERR!":
		return ""
	}
	return column
}

// parseUUID returns the UUID in a column or a line, or "" if it is none that CUDA takes. Tegra boards give theirs without
// a prefix, which CUDA does not, and a driver that is not set up shows question marks.
func parseUUID(column string) string {
	uuid := value(column)
	if !strings.HasPrefix(uuid, "GPU-") && !strings.HasPrefix(uuid, "MIG-") || len(uuid) > 96 {
		return ""
	}
	for _, c := range []byte(uuid) {
		if c != '-' && c != '/' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return ""
		}
	}
	return uuid
}

// parseMiB reads a size in MiB, with its unit or without.
func parseMiB(column string) (int64, bool) {
	number := strings.TrimSpace(strings.TrimSuffix(value(column), "MiB"))
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0, false
	}
	return n << 20, true
}

// checkOrder returns what is wrong if the cards are not numbered by their places on the bus. NVML promises no order; CUDA,
// which is told to count by the bus, would then mean another card by a number than nvidia-smi does.
func checkOrder(gpus []Found) string {
	for i := 1; i < len(gpus); i++ {
		before, this := gpus[i-1], gpus[i]
		if before.bus != "" && this.bus != "" && busKey(before.bus) >= busKey(this.bus) {
			return fmt.Sprintf("nvidia-smi counts %s (%s) before %s (%s), CUDA by the bus: name the card by its UUID", before, before.bus, this, this.bus)
		}
	}
	return ""
}

// busKey returns a place on the PCI bus, "domain:bus:device.function" in hexadecimal digits, so that places can be compared as
// texts: some write the domain with four digits and some with eight.
func busKey(place string) string {
	domain, rest, _ := strings.Cut(strings.ToLower(place), ":")
	return strings.Repeat("0", max(16-len(domain), 0)) + domain + ":" + rest
}
