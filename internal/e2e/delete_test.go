//go:build linux

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// ready returns a job whose worker has the id w1, and serves before it is answered.
func ready(model string) string {
	return fmt.Sprintf(`{"job_id":"job-1","worker_id":"w1","model":%q,"device":"cpu","wait":"ready"}`, model)
}

// family returns the processes of a worker that plays a family, by their roles. It must have said them all.
func family(t *testing.T, a answer) map[string]int {
	t.Helper()
	log, err := os.ReadFile(a.LogPath)
	require.NoError(t, err)
	pids := map[string]int{"leader": a.PID}
	for _, found := range regexp.MustCompile(`(?m)^(child|daemon|deaf) (\d+)$`).FindAllStringSubmatch(string(log), -1) {
		pids[found[1]], err = strconv.Atoi(found[2])
		require.NoError(t, err)
	}
	require.Len(t, pids, 4, string(log))
	return pids
}

// requireFree requires that the port can be bound on every address.
func requireFree(t *testing.T, port int) {
	t.Helper()
	listener, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
	require.NoError(t, err)
	require.NoError(t, listener.Close())
}

// finished returns the answer to a delete that was sent, after its story and its result, which must be the same.
func (w *tap) finished(reply, id string) (story []event, d deleted) {
	w.t.Helper()
	story = w.story("gpu-1", id)
	result, msg := w.next("rbee.v1.result.gpu-1."+id), w.next(reply)
	require.Equal(w.t, result.Data, msg.Data)
	require.Equal(w.t, result.Header, msg.Header)
	require.Equal(w.t, id, msg.Header.Get("Rbee-Job-Id"))
	d, err := decoded[deleted](msg.Data)
	require.NoError(w.t, err)
	require.Nil(w.t, d.Error)
	require.Equal(w.t, []string{id, "gpu-1", "w1"}, []string{d.JobID, d.HiveID, d.WorkerID})
	end := story[len(story)-1]
	require.Equal(w.t, "worker_delete_complete", end.Action)
	require.Equal(w.t, d.Signal, end.Fields.Signal)
	require.Equal(w.t, d.Processes, end.Fields.Processes)
	return story, d
}

func TestADeleteEndsTheWholeTree(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	a := spawn(t, wire.nc, "gpu-1", ready("family"))
	pids := family(t, a)
	for role, pid := range pids {
		require.True(t, alive(pid), role)
	}
	require.Equal(t, 4, getReady(t, wire.nc, "w1").Processes)

	const grace = 2000 // long enough for those who obey
	story, d := wire.finished(wire.sendTo("gpu-1", "worker_delete", fmt.Sprintf(`{"job_id":"end","worker_id":"w1","grace_ms":%d}`, grace)), "end")
	for role, pid := range pids {
		require.False(t, alive(pid), role)
	}
	requireFree(t, a.Port)
	require.Equal(t, a.PID, d.PID)
	require.Equal(t, "SIGKILL", d.Signal, "one did not obey")
	require.Equal(t, 4, d.Processes)
	require.GreaterOrEqual(t, d.TookMS, int64(grace))
	require.Nil(t, d.ExitCode, "a signal ended the first")

	var actions []string
	for _, e := range story {
		actions = append(actions, e.Action)
		require.Equal(t, "w1", e.WorkerID)
	}
	require.Equal(t, []string{"worker_delete_start", "worker_delete_sigterm", "worker_delete_sigkill", "worker_delete_complete"}, slices.Compact(actions))
	told := map[string]int{}
	for _, e := range story[1 : len(story)-1] {
		told[e.Fields.Signal] += e.Fields.Processes
	}
	require.Equal(t, map[string]int{"SIGTERM": 4, "SIGKILL": 1}, told)

	exit := wire.event("rbee.v1.narration.gpu-1.@worker.worker_exited")
	require.Equal(t, a.PID, exit.Fields.PID)
	after := get(t, wire.nc, "w1")
	require.Equal(t, []string{"exited", "SIGTERM"}, []string{after.State, after.Signal})
	require.Nil(t, after.Failure)
	require.Empty(t, list(t, wire.nc, false))
	require.Len(t, list(t, wire.nc, true), 1)
}

// A worker that obeys says how it ended.
func TestADeleteOfAWorkerThatObeys(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	a := spawn(t, wire.nc, "gpu-1", ready("patient"))
	require.NoError(t, os.WriteFile(m.path("go"), nil, 0o600))

	// Another worker may have taken the id since its process was looked up.
	wrong := wire.refused("gpu-1", "worker_delete", fmt.Sprintf(`{"job_id":"wrong","worker_id":"w1","pid":%d}`, a.PID+1), "worker_conflict", "409")
	require.Contains(t, wrong.Message, strconv.Itoa(a.PID))
	require.True(t, alive(a.PID))

	_, d := wire.finished(wire.sendTo("gpu-1", "worker_delete", fmt.Sprintf(`{"job_id":"right","worker_id":"w1","pid":%d}`, a.PID)), "right")
	require.False(t, alive(a.PID))
	require.Equal(t, "SIGTERM", d.Signal)
	require.Equal(t, 1, d.Processes)
	require.NotNil(t, d.ExitCode)
	require.Zero(t, *d.ExitCode)

	// What is gone, or was never there, is not deleted.
	gone := wire.refused("gpu-1", "worker_delete", fmt.Sprintf(`{"job_id":"again","worker_id":"w1","pid":%d}`, a.PID), "worker_not_found", "404")
	require.Contains(t, gone.Message, "has ended already")
	never := wire.refused("gpu-1", "worker_delete", `{"job_id":"never","worker_id":"w2"}`, "worker_not_found", "404")
	require.Contains(t, never.Message, "w2")
	refused := wire.refused("gpu-1", "worker_delete", `{"job_id":"all","worker_id":"w1","pid":1}`, "invalid_job", "400")
	require.Contains(t, refused.Message, "pid")
}

// Two deletes at once are one: many servers give up what they are finishing when they are told a second time.
func TestTwoDeletesAtOnce(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	a := spawn(t, wire.nc, "gpu-1", ready("patient"))

	first := wire.sendTo("gpu-1", "worker_delete", `{"job_id":"first","worker_id":"w1"}`)
	wire.peek("rbee.v1.narration.gpu-1.first.worker_delete_sigterm")
	second := wire.sendTo("gpu-1", "worker_delete", `{"job_id":"second","worker_id":"w1"}`)
	wire.peek("rbee.v1.narration.gpu-1.second.worker_delete_start")
	require.True(t, alive(a.PID))
	require.NoError(t, os.WriteFile(m.path("go"), nil, 0o600))

	_, d := wire.finished(first, "first")
	story, joined := wire.finished(second, "second")
	require.Len(t, story, 2, "its start and its end")
	joined.JobID = "first"
	require.Equal(t, d, joined)
	require.False(t, alive(a.PID))
	log, err := os.ReadFile(a.LogPath)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(log), "told: terminated"), string(log))
}

// A record that names a process which was not started for it ends nobody.
func TestAForgedRecordEndsNobody(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	h := m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	real := spawn(t, wire.nc, "gpu-1", ready("m"))
	bystander := innocent(t)
	for ticks(t, bystander) == ticks(t, real.PID) { // the kernel counts in 10 ms
		bystander = innocent(t)
	}

	for name, change := range map[string]func(p *process){
		"started-later":  func(p *process) { p.PID, p.StartTicks = bystander, ticks(t, bystander)+1 },
		"started-before": func(p *process) { p.PID, p.StartTicks = bystander, ticks(t, bystander)-1 },
		"of-the-worker":  func(p *process) { p.PID = bystander },
		"another-boot":   func(p *process) { p.PID, p.StartTicks, p.BootID = bystander, ticks(t, bystander), "another" },
		"no-process":     func(p *process) { p.PID, p.StartTicks = 0, 0 },
		"the-first":      func(p *process) { p.PID, p.StartTicks = 1, ticks(t, 1) },
		"everybody":      func(p *process) { p.PID = -1 },
		"its-parent":     func(p *process) { p.PID, p.StartTicks = os.Getpid(), ticks(t, os.Getpid()) },
		"itself":         func(p *process) { p.PID, p.StartTicks = h.PID(), ticks(t, h.PID()) },
	} {
		m.forge(t, "w1", name, change)
		f := wire.refused("gpu-1", "worker_delete", fmt.Sprintf(`{"job_id":%q,"worker_id":%q,"grace_ms":1}`, name, name), "worker_not_found", "404")
		require.NotEmpty(t, f.Message)
		require.True(t, alive(bystander), name)
		require.True(t, alive(h.PID()), name)
		require.True(t, alive(real.PID), name)
	}
	for _, w := range list(t, wire.nc, false) {
		require.NotEqual(t, bystander, w.PID, w.WorkerID)
	}
}

// Another hive of the same name on this machine has a worker of the same name: a second user's, or one that was forgotten.
func TestADeleteLeavesTheWorkersOfOthers(t *testing.T) {
	t.Parallel()
	var machines [2]*machine
	var wires [2]*tap
	var workers [2]answer
	for i := range machines {
		server := natstest.Server(t)
		machines[i] = newMachine(t, server.URL(), "gpu-1", 40)
		machines[i].serve()
		wires[i] = listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
		workers[i] = spawn(t, wires[i].nc, "gpu-1", ready("family"))
	}
	pids := family(t, workers[1])
	require.Equal(t, 4, remove(t, wires[0].nc, `{"worker_id":"w1","grace_ms":1}`).Processes)
	for role, pid := range pids {
		require.True(t, alive(pid), role)
	}
	require.Equal(t, 4, remove(t, wires[1].nc, `{"worker_id":"w1","grace_ms":1}`).Processes)
}
