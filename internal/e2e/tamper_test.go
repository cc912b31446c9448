//go:build linux

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// process is what the record of a worker says of its process.
type process struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"`
	BootID     string `json:"boot_id"`
	StartedAt  string `json:"started_at"`
}

// innocent starts a process that leads a session of its own, as a worker does, and is none. It ends with the test.
func innocent(t *testing.T) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "120")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	hives.Lock() // until it can be told from a worker
	defer hives.Unlock()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// ticks returns when the kernel started the process (proc(5), field 22 of stat).
func ticks(t *testing.T, pid int) uint64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	at, err := strconv.ParseUint(fields[19], 10, 64)
	require.NoError(t, err)
	return at
}

// forge puts a record into the run directory that is that of the worker like, but for its id and what change does.
func (m *machine) forge(t *testing.T, like, worker string, change func(p *process)) {
	t.Helper()
	data, err := os.ReadFile(m.path("run", "workers", like, "worker.json"))
	require.NoError(t, err)
	var record map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(data, &record))
	for key, value := range record {
		record[key] = bytes.ReplaceAll(value, []byte(strconv.Quote(like)), []byte(strconv.Quote(worker)))
	}
	var p process
	require.NoError(t, json.Unmarshal(record["process"], &p))
	change(&p)
	record["process"], err = json.Marshal(p)
	require.NoError(t, err)
	data, err = json.Marshal(record)
	require.NoError(t, err)
	m.plant(t, worker, "lock", data)
	require.NoError(t, os.Link(m.path("run", "workers", worker, "lock"), m.path("run", "workers", worker, "worker.json")))
}

// plant writes a file into a worker's directory, which is made.
func (m *machine) plant(t *testing.T, worker, name string, data []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(m.path("run", "workers", worker), 0o700))
	require.NoError(t, os.WriteFile(m.path("run", "workers", worker, name), data, 0o600))
}
