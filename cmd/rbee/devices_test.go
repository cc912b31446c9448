package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
)

func TestDeviceSummary(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "-",
		"cpu":                           "cpu",
		"cpu,cuda:0=L4":                 "cpu, cuda:0 L4",
		"cpu,cuda:0=L4,cuda:1=L4":       "cpu, cuda:0-1 L4",
		"cpu,cuda:0=A,cuda:1=B,cuda:2":  "cpu, cuda:0 A, cuda:1 B, cuda:2",
		"cpu,cuda:0,cuda:2,cuda:3":      "cpu, cuda:0, cuda:2-3",
		"cpu,metal=Apple M2":            "cpu, metal Apple M2",
		"cpu,cuda:0=evil\x1b[2J\nthing": "cpu, cuda:0 evil thing",
	} {
		require.Equal(t, want, deviceSummary(messages.ParseDevices(text)), text)
	}
}

func TestDeviceLine(t *testing.T) {
	t.Parallel()
	for want, device := range map[string]messages.Device{
		"cpu":                                 {Device: "cpu"},
		"cpu: AMD EPYC 9124, 32 cores, 4 GiB": {Device: "cpu", Name: "AMD EPYC 9124", Cores: 32, MemoryBytes: 4 << 30},
		"cuda:0: L4, 4 GiB, nothing of it in use, GPU-1": {
			Device: "cuda:0", Name: "L4", MemoryBytes: 4 << 30, MemoryUsedBytes: new(int64), UUID: "GPU-1",
		},
		"cuda:1: 4 GiB, 2 MiB of it in use, MIG": {Device: "cuda:1", MemoryBytes: 4 << 30, MemoryUsedBytes: new(int64(2 << 20)), MIG: true},
	} {
		require.Equal(t, want, deviceLine(device))
	}
}
