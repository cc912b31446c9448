//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/doctor"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/internal/proctest"
)

// doctor runs `rbee-hive doctor` on this machine and returns its exit code and what it found.
func (m *machine) doctor(t *testing.T, env ...string) (int, doctor.Report) {
	t.Helper()
	code, said := proctest.Start(t, append(m.env, env...), "rbee-hive", "doctor", "-o", "json").Exit()
	var report doctor.Report
	decoder := json.NewDecoder(strings.NewReader(said))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&report), said)
	return code, report
}

// Where a hive works, its doctor finds nothing that keeps it from it: with the user and the permissions of deploy/, before
// the first start, beside the hive at work, and behind it.
func TestDoctorPassesWhereAHiveWorks(t *testing.T) {
	for _, name := range []string{"QUEEN", "OBSERVER", "ADMIN", "HIVE_GPU_1", "HIVE_GPU_2"} {
		t.Setenv(name+"_PASSWORD", "pw-"+name)
	}
	server, err := natsd.Start(natsd.Config{ConfigFile: filepath.Join("..", "..", "deploy", "nats-server.conf"), StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	m := newMachine(t)
	m.install(t, "cpu-llm-worker-rbee", sleeper)
	env := []string{"NATS_URL=" + server.URL(), "RBEE_HIVE_ID=gpu-1", "NATS_USER=hive-gpu-1", "NATS_PASSWORD=pw-HIVE_GPU_1"}

	code, before := m.doctor(t, env...)
	require.Equal(t, 0, code, "%v", before.Checks)
	require.Zero(t, before.Failures)

	hive := m.serve(t, env...)
	hive.Await(`ready: rbee\.v1\.hive\.gpu-1\.worker_spawn`)
	code, beside := m.doctor(t, env...)
	require.Equal(t, 0, code, "%v", beside.Checks)
	hive.Signal(syscall.SIGTERM)
	code, said := hive.Exit()
	require.Equal(t, 0, code, said)

	code, behind := m.doctor(t, env...)
	require.Equal(t, 0, code, "%v", behind.Checks)
}

// Where a hive does not start because it requires its queue, its doctor says so.
func TestDoctorFailsWhereARequiredQueueIsMissing(t *testing.T) {
	t.Parallel()
	env := []string{"NATS_URL=" + natstest.Server(t).URL(), "RBEE_QUEUE=required"}
	m := newMachine(t)
	code, said := m.serve(t, env...).Exit()
	require.Equal(t, 1, code, said)
	code, report := m.doctor(t, env...)
	require.Equal(t, 1, code, "%v", report.Checks)
	require.Equal(t, 1, report.Failures, "%v", report.Checks)
	code, report = m.doctor(t, env[0])
	require.Equal(t, 0, code, "%v", report.Checks)
}

func TestDoctorKnowsTheHiveBesideIt(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t)
	hive := m.serve(t, "NATS_URL="+server.URL())
	hive.Await(`ready: `)
	_, report := m.doctor(t, "NATS_URL="+server.URL())
	require.Condition(t, func() bool {
		for _, check := range report.Checks {
			if check.Name == "same_id" {
				return check.Status == doctor.OK && strings.Contains(check.Message, "hive test is served on this host")
			}
		}
		return false
	}, "%v", report.Checks)
}

func TestPrintReport(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, printReport(&out, doctor.Report{
		HiveID: "gpu-1", OK: 1, Warnings: 1, Failures: 2, Checks: []doctor.Check{
			{Area: "server", Name: "a", Status: doctor.OK, Message: "fine"},
			{Area: "server", Name: "longer", Status: doctor.Warning, Message: "named \x1b[31mred", Advice: "do this"},
			{Area: "ports", Name: "free", Status: doctor.Failure, Message: "none", Advice: "do that"},
			{Area: "ports", Name: "free", Status: doctor.Failure, Message: "none", Advice: "do more"},
		},
	}))
	require.Equal(t, `server
  ok       a       fine
  warning  longer  named red
                   → do this
ports
  failure  free    none
                   → do that
  failure  free    none
                   → do more

hive gpu-1: 1 ok, 1 warning, 2 failures
`, out.String())
}
