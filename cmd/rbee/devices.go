package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
)

// deviceSummary returns a machine's devices in few words, such as "cpu, cuda:0-7 NVIDIA H100 80GB HBM3", or "-" if it does not say.
func deviceSummary(devices []messages.Device) string {
	var parts []string
	for len(devices) > 0 {
		first, like := devices[0], 1
		for like < len(devices) && follows(devices[like-1], devices[like]) {
			like++
		}
		part := first.Device
		if like > 1 {
			part += fmt.Sprintf("-%d", devices[like-1].Index)
		}
		if first.Name != "" {
			part += " " + first.Name
		}
		parts, devices = append(parts, part), devices[like:]
	}
	if parts == nil {
		return "-"
	}
	return oneLine(strings.Join(parts, ", "))
}

// follows reports whether b is the next of the same cards.
func follows(a, b messages.Device) bool {
	return a.Kind == b.Kind && a.Name == b.Name && b.Index == a.Index+1
}

// deviceRows returns the lines of a hive's status about its devices, and about what is not known of them.
func deviceRows(info messages.HiveInfo) [][]string {
	var rows [][]string
	for i, device := range info.Devices {
		title := ""
		if i == 0 {
			title = "devices"
		}
		rows = append(rows, []string{title, oneLine(deviceLine(device))})
	}
	if info.DevicesProblem != "" {
		rows = append(rows, []string{"", oneLine("not all is known: " + info.DevicesProblem)})
	}
	return rows
}

// deviceLine tells what is known of a device.
func deviceLine(d messages.Device) string {
	facts := []string{d.Name}
	if d.Cores > 0 {
		facts = append(facts, fmt.Sprintf("%d cores", d.Cores))
	}
	switch {
	case d.MemoryBytes > 0 && d.MemoryUsedBytes != nil:
		facts = append(facts, fmt.Sprintf("%s, %s of it in use", size(d.MemoryBytes), atLeastBytes(*d.MemoryUsedBytes)))
	case d.MemoryBytes > 0:
		facts = append(facts, size(d.MemoryBytes))
	}
	if d.MIG {
		facts = append(facts, "MIG")
	}
	facts = append(facts, d.UUID)
	facts = slices.DeleteFunc(facts, func(fact string) bool { return fact == "" })
	if len(facts) == 0 {
		return d.Device
	}
	return d.Device + ": " + strings.Join(facts, ", ")
}

// atLeastBytes is size for an amount that may be none.
func atLeastBytes(n int64) string {
	if n <= 0 {
		return "nothing"
	}
	return size(n)
}

// oneLine returns text of a hive's as a table can show it.
func oneLine(text string) string { return messages.OneLine(cli.Printable(text)) }
