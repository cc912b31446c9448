//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// busy returns once the hive says that this is its work. It is the only one on its server.
func (w *tap) busy(running, waiting int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		msg, err := w.nc.Request("$SRV.STATS.rbee-hive", nil, patience)
		return err == nil && strings.Contains(string(msg.Data), fmt.Sprintf(`"data":{"running":%d,"waiting":%d,`, running, waiting))
	}, patience, time.Millisecond)
}

func TestAHiveThatIsToldToStopFinishesWhatItBegan(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	h := m.serve("RBEE_MAX_JOBS=1")
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	before := spawn(t, wire.nc, "gpu-1", jobFor("before", "m"))
	open := m.gate()
	working := wire.send("gpu-1", m.gated("at-work"))
	waiting := wire.send("gpu-1", jobFor("in-line", "m"))
	wire.busy(1, 1)

	h.Signal(syscall.SIGTERM)
	require.Equal(t, 1, wire.event("rbee.v1.narration.gpu-1.@hive.hive_draining").Fields.Jobs)
	require.True(t, wire.failure(waiting, "hive_draining", "503").Retryable)
	require.True(t, wire.refused("gpu-1", "worker_spawn", jobFor("new", "m"), "hive_draining", "503").Retryable)

	open()
	during := wire.answer(working)
	require.Nil(t, during.Error)
	wire.event("rbee.v1.narration.gpu-1.@hive.hive_stopped")
	code, said := h.Exit()
	require.Equal(t, 0, code, said)
	require.ElementsMatch(t, []int{before.PID, during.PID}, m.orphans(), "workers go on")
	_, err := wire.nc.Request("rbee.v1.hive.gpu-1.worker_spawn", []byte(jobFor("late", "m")), patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
	requireStarts(t, map[string]int{"before": 1, "at-work": 1}, m)
}

func TestAHiveThatIsToldTwiceEndsAtOnce(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	h := m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	before := spawn(t, wire.nc, "gpu-1", jobFor("before", "m"))
	m.gate()
	wire.send("gpu-1", m.gated("at-work"))
	wire.send("gpu-1", `{"job_id":"waits","model":"loading","device":"cpu","wait":"ready"}`)
	wire.event("rbee.v1.narration.gpu-1.waits.worker_spawned")

	h.Signal(syscall.SIGTERM)
	wire.event("rbee.v1.narration.gpu-1.@hive.hive_draining")
	h.Signal(syscall.SIGTERM)
	code, said := h.Exit()
	require.Equal(t, 130, code, said)
	require.Len(t, m.orphans(), 2, "workers go on")
	require.True(t, alive(before.PID))
}

// A hive does not wait for ever for what it began.
func TestADrainHasAnEnd(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	h := m.serve("RBEE_DRAIN_TIMEOUT=20ms")
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	reply := wire.send("gpu-1", `{"job_id":"waits","model":"loading","device":"cpu","wait":"ready"}`)
	wire.event("rbee.v1.narration.gpu-1.waits.worker_spawned")
	h.Signal(syscall.SIGTERM)
	require.True(t, wire.failure(reply, "hive_draining", "503").Retryable)
	code, said := h.Exit()
	require.Equal(t, 0, code, said)
	require.Len(t, m.orphans(), 1, "it goes on loading")
}
