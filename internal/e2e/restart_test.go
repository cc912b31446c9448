//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// A hive that comes back, however its predecessor went, serves the workers that it finds as if it had started them.
func TestAHiveServesTheWorkersOfItsPredecessor(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"that was told to end": syscall.SIGTERM, "that was killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := natstest.Server(t)
			m := newMachine(t, server.URL(), "gpu-1", 40)
			wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
			h := m.serve()
			models := []string{"family", "mute", "other", "patient", "print"}
			before := map[string]answer{}
			for _, model := range models {
				wait := "ready"
				if model == "mute" {
					wait = "spawned"
				}
				before[model] = spawn(t, wire.nc, "gpu-1", fmt.Sprintf(`{"job_id":%q,"worker_id":%q,"model":%q,"device":"cpu","wait":%q}`, model, model, model, wait))
			}
			pids := family(t, before["family"])
			require.Empty(t, variable(before["other"].PID, "RBEE_WORKER_ID"), "it has no environment any more")
			var knew []found
			eventually(t, func() bool { // who is slow to answer is not seen to be ready
				knew = list(t, wire.nc, false)
				return !slices.ContainsFunc(knew, func(w found) bool { return w.State != "ready" && w.WorkerID != "mute" })
			}, "all are ready")

			h.Signal(signal)
			_, _ = h.Exit()
			m.serve()
			var knows []found
			eventually(t, func() bool {
				knows = timeless(list(t, wire.nc, false))
				return reflect.DeepEqual(timeless(knew), knows)
			}, "the next hive knows something else")
			require.Equal(t, timeless(knew), knows)
			for _, model := range models {
				requireServed(t, wire.nc, before[model])
			}

			// One ends by itself: nobody's child, and its end is told all the same.
			require.NoError(t, syscall.Kill(before["mute"].PID, syscall.SIGKILL))
			e := wire.event("rbee.v1.narration.gpu-1.@worker.worker_exited")
			require.Equal(t, []string{"mute", "mute"}, []string{e.WorkerID, e.Fields.StartedBy})
			require.Equal(t, "exited", get(t, wire.nc, "mute").State)

			require.NoError(t, os.WriteFile(m.path("go"), nil, 0o600))
			ended := map[string]bool{}
			for model, want := range map[string]deleted{
				"family":  {Signal: "SIGKILL", Processes: 4},
				"other":   {Signal: "SIGTERM", Processes: 1},
				"patient": {Signal: "SIGTERM", Processes: 1},
				"print":   {Signal: "SIGTERM", Processes: 1},
			} {
				grace := patience // of a machine that stands still
				if want.Signal == "SIGKILL" {
					grace = 200 * time.Millisecond
				}
				d := remove(t, wire.nc, fmt.Sprintf(`{"worker_id":%q,"pid":%d,"grace_ms":%d}`, model, before[model].PID, grace.Milliseconds()))
				require.Equal(t, []any{want.Signal, want.Processes, before[model].PID}, []any{d.Signal, d.Processes, d.PID}, model)
				require.False(t, alive(d.PID))
				requireFree(t, before[model].Port)
				ended[wire.event("rbee.v1.narration.gpu-1.@worker.worker_exited").WorkerID] = true
			}
			require.Len(t, ended, len(models)-1)
			for role, pid := range pids {
				require.False(t, alive(pid), role)
			}
			require.Empty(t, list(t, wire.nc, false))
			require.Len(t, list(t, wire.nc, true), len(models))
		})
	}
}

// timeless is a list of workers without what changes with time.
func timeless(all []found) []found {
	all = slices.Clone(all)
	for i := range all {
		all[i].UptimeMS, all[i].RSSBytes, all[i].CPUMS, all[i].Threads = 0, 0, 0, 0
	}
	return all
}

// requireServed requires that the hive knows all of a worker that it did not start, and reads its log.
func requireServed(t *testing.T, nc *nats.Conn, a answer) {
	t.Helper()
	look := getReady
	if a.Model == "mute" {
		look = get
	}
	w := look(t, nc, a.WorkerID)
	require.Equal(t, []any{a.PID, a.Port, a.Model, a.LogPath, a.BinaryPath, a.JobID}, []any{w.PID, w.Port, w.Model, w.LogPath, w.BinaryPath, w.JobID})
	require.WithinDuration(t, a.StartedAt, w.StartedAt, 0)
	state := map[bool]string{true: "starting", false: "ready"}[a.Model == "mute"]
	require.Equal(t, state, w.State)
	require.Positive(t, w.RSSBytes)
	require.Positive(t, w.Threads)
	log, err := ask[excerpt](t.Context(), nc, "gpu-1", "worker_logs", fmt.Sprintf(`{"worker_id":%q,"from":0,"limit":4096}`, a.WorkerID))
	require.NoError(t, err)
	require.Nil(t, log.Error)
	require.Equal(t, "playing "+a.Model, log.Lines[0])
	again := spawn(t, nc, "gpu-1", fmt.Sprintf(`{"job_id":%q,"worker_id":%q,"model":%q,"device":"cpu"}`, a.JobID, a.WorkerID, a.Model))
	require.True(t, again.Replayed)
	require.Equal(t, a.PID, again.PID)
}

// Whatever lies in the run directory, the hive starts, says what it passes over, serves the others, and ends nobody.
func TestATamperedRunDirectoryHarmsNobody(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	h := m.serve()
	good := spawn(t, wire.nc, "gpu-1", ready("m"))
	h.Kill()
	bystander := innocent(t)
	tampered := m.tamper(t, bystander)

	h = m.serve()
	all := list(t, wire.nc, true)
	require.Len(t, all, 1, "%v", all)
	require.Equal(t, "w1", all[0].WorkerID)
	requireServed(t, wire.nc, good)
	for _, worker := range tampered {
		body := fmt.Sprintf(`{"worker_id":%q}`, worker)
		for _, operation := range []string{"worker_get", "worker_logs", "worker_delete"} {
			a, err := ask[struct {
				refusable
				JobID string `json:"job_id"`
			}](t.Context(), wire.nc, "gpu-1", operation, body)
			require.NoError(t, err)
			require.NotNil(t, a.Error, worker)
			require.Contains(t, []string{"internal", "worker_not_found"}, a.Error.Code, worker)
			require.NotContains(t, a.Error.Message, "secret")
		}
		spawned, err := request(t.Context(), wire.nc, "gpu-1", fmt.Sprintf(`{"job_id":"new-%s","worker_id":%q,"model":"quiet:1","device":"cpu","wait":"ready"}`, worker, worker))
		require.NoError(t, err)
		require.NotNil(t, spawned.Error, "refused, or started and ended")
		require.NotContains(t, spawned.Error.Message, "secret")
	}
	require.True(t, alive(bystander))
	require.True(t, alive(good.PID))
	said := h.Said()
	for _, worker := range tampered {
		if worker != "unstarted" && worker != "empty" && worker != "dangling" { // as those look whose start was cut short
			require.Contains(t, said, fmt.Sprintf(`"worker":%q`, worker))
		}
	}
	require.NotContains(t, said, "secret")
	require.Equal(t, 1, remove(t, wire.nc, `{"worker_id":"w1"}`).Processes)
	require.True(t, alive(bystander))
	require.Equal(t, "secret", readFile(t, m.path("secret")))
}

// tamper puts what should not be there into the run directory of a machine whose worker w1 has a record, and returns the ids of the
// workers that it seems to have.
func (m *machine) tamper(t *testing.T, bystander int) []string {
	t.Helper()
	record := []byte(readFile(t, m.path("run", "workers", "w1", "worker.json")))
	path := func(name ...string) string { return m.path(append([]string{"run", "workers"}, name...)...) }
	require.NoError(t, os.WriteFile(m.path("secret"), []byte("secret"), 0o600))
	m.forge(t, "w1", "linked", func(p *process) { p.PID = bystander })
	require.NoError(t, os.Remove(path("linked", "worker.json")))
	require.NoError(t, os.Symlink(path("w1", "worker.json"), path("linked", "worker.json")))
	m.plant(t, "lock-linked", "worker.json", record)
	require.NoError(t, os.Symlink(m.path("secret"), path("lock-linked", "lock")))
	m.plant(t, "garbage", "lock", []byte("\x00\xffsecret"))
	require.NoError(t, os.Link(path("garbage", "lock"), path("garbage", "worker.json")))
	m.plant(t, "half", "lock", record[:len(record)/2])
	require.NoError(t, os.Link(path("half", "lock"), path("half", "worker.json")))
	m.forge(t, "w1", "unstarted", func(p *process) { p.PID, p.StartTicks = 0, 0 })
	require.NoError(t, os.Remove(path("unstarted", "worker.json")))
	cut := strings.ReplaceAll(readFile(t, path("unstarted", "lock")), m.path("logs", "w1.job-1.log"), "/dev/null")
	m.plant(t, "unstarted", "lock", []byte(cut)) // who prints there is not the worker
	m.plant(t, "huge", "lock", []byte(`{"process":{}}`+strings.Repeat(" ", 2<<20)))
	require.NoError(t, os.Truncate(path("huge", "lock"), 1<<40))
	require.NoError(t, os.Link(path("huge", "lock"), path("huge", "worker.json")))
	m.plant(t, "anothers", "lock", record) // says that it is w1
	require.NoError(t, os.Link(path("anothers", "lock"), path("anothers", "worker.json")))
	m.plant(t, "pipe", "worker.json", nil)
	require.NoError(t, os.Remove(path("pipe", "worker.json")))
	require.NoError(t, unix.Mkfifo(path("pipe", "lock"), 0o600))
	require.NoError(t, unix.Mkfifo(path("pipe", "worker.json"), 0o600))
	require.NoError(t, os.MkdirAll(path("directory", "lock"), 0o700))
	require.NoError(t, os.Mkdir(path("empty"), 0o700))
	m.plant(t, "dangling", "other", record)
	ids := []string{"unstarted", "linked", "lock-linked", "garbage", "half", "huge", "anothers", "pipe", "directory", "empty", "dangling"}
	if os.Geteuid() == 0 { // others may not give files away
		m.forge(t, "w1", "foreign", func(p *process) {})
		require.NoError(t, os.Chown(path("foreign", "lock"), 65534, 65534))
		ids = append(ids, "foreign")
	}
	require.NoError(t, os.WriteFile(path("a-file"), record, 0o600))
	require.NoError(t, os.Symlink(path("w1"), path("a-link")))
	return ids
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}
