//go:build linux

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// refused sends a job that must fail and checks that it is refused the same way everywhere: in the reply and its headers,
// as the result, and as the one end of its story. It returns the failure. The tap must hear all of these.
func (w *tap) refused(hive, operation, job, code, status string) *failure {
	w.t.Helper()
	return w.refusal(hive, operation, w.sendTo(hive, operation, job), code, status)
}

// refusal is refused of a job that was sent already.
func (w *tap) refusal(hive, operation, reply, code, status string) *failure {
	w.t.Helper()
	msg := w.peek(reply)
	f := w.failure(reply, code, status)
	require.NotContains(w.t, f.Message, "\n")
	id := msg.Header.Get("Rbee-Job-Id")

	var before []*nats.Msg
	w.passed = slices.DeleteFunc(w.passed, func(m *nats.Msg) bool {
		ours := strings.Contains(m.Subject+".", "."+hive+"."+id+".")
		if ours {
			before = append(before, m)
		}
		return ours
	})
	if code == "unknown_operation" { // which is only answered
		require.Empty(w.t, before)
		return f
	}
	for i, m := range before[:len(before)-1] {
		e := eventFrom(w.t, m)
		require.Equal(w.t, i+1, e.Seq)
		require.Equal(w.t, i == len(before)-2, e.Terminal)
		if e.Terminal {
			require.Equal(w.t, operation+"_failed", e.Action)
			require.Equal(w.t, "error", e.Level)
			require.Equal(w.t, f, e.Fields.Error)
			require.Contains(w.t, e.Human, code+": "+f.Message)
		}
	}
	result := before[len(before)-1]
	require.Equal(w.t, "rbee.v1.result."+hive+"."+id, result.Subject)
	require.Equal(w.t, msg.Data, result.Data)
	require.Equal(w.t, msg.Header, result.Header)
	return f
}

// Each failure that a job can meet on a machine that is in order but for what the job asks of it.
func TestEachRefusalSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	workspace := m.path("src")
	require.NoError(t, os.Mkdir(workspace, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(workspace, "Cargo.toml"), []byte("[workspace]\n"), 0o600))
	m.serve("RBEE_DEV_ROOT="+workspace, withGPUs())
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	neighbour := spawn(t, wire.nc, "gpu-1", `{"job_id":"neighbour","worker_id":"neighbour","model":"m","device":"cpu"}`)
	foreign, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer foreign.Close()
	foreignPort := foreign.Addr().(*net.TCPAddr).Port

	type check = func(t *testing.T, f *failure)
	for name, test := range map[string]struct {
		operation string // worker_spawn
		job       string
		code      string
		status    string
		says      string
		check     check
	}{
		"no JSON":                     {job: `model=m`, code: "invalid_job", status: "400", says: "payload"},
		"nothing":                     {job: ``, code: "invalid_job", status: "400", says: "payload"},
		"a list":                      {job: `[]`, code: "invalid_job", status: "400", says: "payload"},
		"two objects":                 {job: `{"model":"m","device":"cpu"}{}`, code: "invalid_job", status: "400", says: "payload"},
		"no model":                    {job: `{"device":"cpu"}`, code: "invalid_job", status: "400", says: "model: "},
		"no device":                   {job: `{"model":"m"}`, code: "invalid_job", status: "400", says: "device: "},
		"a model that is a flag":      {job: `{"model":"--port=1","device":"cpu"}`, code: "invalid_job", status: "400", says: "model: "},
		"a control character":         {job: `{"model":"m\u0000","device":"cpu"}`, code: "invalid_job", status: "400", says: "model: "},
		"an unknown field":            {job: `{"model":"m","device":"cpu","command":"sh"}`, code: "invalid_job", status: "400", says: "command: "},
		"a field in other letters":    {job: `{"Model":"m","device":"cpu"}`, code: "invalid_job", status: "400", says: "Model: "},
		"a wrong type":                {job: `{"model":"m","device":"cpu","port":"9001"}`, code: "invalid_job", status: "400", says: "port: "},
		"a port that is none":         {job: `{"model":"m","device":"cpu","port":65536}`, code: "invalid_job", status: "400", says: "port: "},
		"a job id with a wildcard":    {job: `{"job_id":"job.>","model":"m","device":"cpu"}`, code: "invalid_job", status: "400", says: "job_id: "},
		"a worker id that is a path":  {job: `{"worker_id":"../up","model":"m","device":"cpu"}`, code: "invalid_job", status: "400", says: "worker_id: "},
		"a worker that is a path":     {job: `{"worker":"../up","model":"m","device":"cpu"}`, code: "invalid_job", status: "400", says: "worker: "},
		"another operation":           {job: `{"operation":"worker_delete","model":"m","device":"cpu"}`, code: "invalid_job", status: "400", says: "operation: "},
		"more than a job needs":       {job: `{"model":"` + strings.Repeat("m", 1<<16) + `","device":"cpu"}`, code: "invalid_job", status: "400", says: "65536"},
		"an operation that is none":   {operation: "worker_dance", job: `{}`, code: "unknown_operation", status: "400", says: "worker_dance"},
		"the job of another hive":     {job: `{"hive_id":"gpu-2","model":"m","device":"cpu"}`, code: "wrong_hive", status: "400", says: "gpu-2"},
		"a device that is none":       {job: `{"model":"m","device":"cpufoo"}`, code: "unsupported_device", status: "400", says: "cpufoo"},
		"a device below zero":         {job: `{"model":"m","device":"cuda:-1"}`, code: "unsupported_device", status: "400", says: "cuda:-1"},
		"the device of another world": {job: `{"model":"m","device":"metal"}`, code: "unsupported_platform", status: "400", says: "linux"},
		"a device that is missing": {job: `{"model":"m","device":"cuda:7"}`, code: "device_not_found", status: "404", says: "no cuda:7", check: func(t *testing.T, f *failure) {
			require.Equal(t, []string{"cpu", "cuda:0", "cuda:1"}, f.Devices)
		}},
		"a worker that is missing": {job: `{"model":"m","device":"cuda:0"}`, code: "worker_not_installed", status: "404", says: "cuda-llm-worker-rbee", check: func(t *testing.T, f *failure) {
			require.Contains(t, f.Tried, filepath.Join(workspace, "target", "debug", "cuda-llm-worker-rbee"))
			require.Contains(t, f.Tried, filepath.Join(workspace, "target", "release", "cuda-llm-worker-rbee"))
			require.Contains(t, strings.Join(f.Tried, "\n"), m.path("catalog", "cuda-llm-worker-rbee-v"))
		}},
		"a version that is missing": {job: `{"version":"0.2.0","model":"m","device":"cpu"}`, code: "worker_not_installed", status: "404", says: "0.1.0"},
		"another's worker id":       {job: `{"worker_id":"neighbour","model":"other","device":"cpu"}`, code: "worker_conflict", status: "409", says: "job neighbour"},
		"another's port": {
			job:  fmt.Sprintf(`{"port":%d,"model":"m","device":"cpu"}`, neighbour.Port),
			code: "port_in_use", status: "409", says: fmt.Sprintf("worker neighbour (PID %d)", neighbour.PID),
		},
		"a stranger's port": {
			job:  fmt.Sprintf(`{"port":%d,"model":"m","device":"cpu"}`, foreignPort),
			code: "port_in_use", status: "409", says: fmt.Sprintf("(PID %d)", os.Getpid()),
		},
		"a deadline that passed": {job: `{"deadline":"2020-01-01T00:00:00Z","model":"m","device":"cpu"}`, code: "deadline_exceeded", status: "408", says: "2020-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			wire.t = t
			operation := test.operation
			if operation == "" {
				operation = "worker_spawn"
			}
			f := wire.refused("gpu-1", operation, test.job, test.code, test.status)
			require.Contains(t, f.Message, test.says)
			if test.check != nil {
				test.check(t, f)
			}
		})
	}
	requireStarts(t, map[string]int{"neighbour": 1}, m)
}
