//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// What a machine has is told to whoever looks for hives, to whoever asks one, and to whoever asks for what is not there; and a job
// on a card starts a worker that counts the cards as the hive does.
func TestDevicesOfAMachine(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	require.NoError(t, os.Link(filepath.Join(programs, "worker"), m.entry("cuda-llm-worker-rbee", "0.1.0")))
	m.serve(withGPUs(), "CUDA_VISIBLE_DEVICES=1", "CUDA_DEVICE_ORDER=FASTEST_FIRST")
	nc := natstest.Dial(t, server.URL())

	msg, err := nc.Request("$SRV.PING.rbee-hive", nil, patience)
	require.NoError(t, err)
	var ping micro.Ping
	require.NoError(t, json.Unmarshal(msg.Data, &ping))
	require.Equal(t, "cpu,cuda:1=NVIDIA H100 80GB HBM3", ping.Metadata["devices"])

	info, err := ask[status](t.Context(), nc, "gpu-1", "hive_status", `{}`)
	require.NoError(t, err)
	require.Empty(t, info.DevicesProblem)
	require.Len(t, info.Devices, 2)
	card := info.Devices[1]
	require.Equal(t, []any{"cuda:1", "cuda", 1, "NVIDIA H100 80GB HBM3", "GPU-91672fbd-4bc1-0434-a653-77a9501c84de"},
		[]any{card.Device, card.Kind, card.Index, card.Name, card.UUID})
	require.Equal(t, int64(63931<<20), *card.MemoryUsedBytes)

	a := spawn(t, nc, "gpu-1", `{"job_id":"job-1","model":"m","device":"cuda:1"}`)
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", a.PID))
	require.NoError(t, err)
	require.Contains(t, string(environ), "CUDA_DEVICE_ORDER=PCI_BUS_ID\x00")
	require.NotContains(t, string(environ), "CUDA_VISIBLE_DEVICES")
	refused, err := nc.Request("rbee.v1.hive.gpu-1.worker_spawn", []byte(`{"job_id":"job-2","model":"m","device":"cuda"}`), patience)
	require.NoError(t, err)
	require.Contains(t, string(refused.Data), `"code":"device_not_found","message":"this machine has no cuda:0; it has cpu, cuda:1","devices":["cpu","cuda:1"]`)
}

// A driver that hangs keeps a hive from nothing but knowing its cards: it starts, serves, says what it does not know, and ends.
func TestAHiveWhoseDriverHangs(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	require.NoError(t, os.Mkdir(m.path("bin"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(programs, "sleeper"), m.path("bin", "nvidia-smi")))
	began := time.Now()
	h := m.serve("PATH=" + m.path("bin") + ":" + os.Getenv("PATH"))
	nc := natstest.Dial(t, server.URL())
	info, err := ask[status](t.Context(), nc, "gpu-1", "hive_status", `{}`)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 20*time.Second)
	require.Equal(t, "cpu", info.Devices[0].Device)
	require.True(t, strings.Contains(info.DevicesProblem, "not answered") || strings.Contains(info.DevicesProblem, "had not"), info.DevicesProblem)
	spawn(t, nc, "gpu-1", `{"job_id":"job-1","model":"m","device":"cpu"}`)
	h.Signal(syscall.SIGTERM)
	code, said := h.Exit()
	require.Zero(t, code, said)
	require.Contains(t, said, "the devices of this machine are not all known")
}
