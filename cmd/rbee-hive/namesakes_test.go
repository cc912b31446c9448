//go:build unix

package main

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

// A hive that comes to a fleet where another has its id says so, and one that takes over from itself does not.
func TestServeWarnsOfAnotherHiveWithItsID(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	require.NoError(t, err)
	server := natstest.Server(t)
	env := []string{"NATS_URL=" + server.URL(), "RBEE_LOG_LEVEL=debug"}
	m := newMachine(t)
	first := m.serve(t, env...)
	first.Await(`DBG nobody else has this id hive=test`)
	again := m.serve(t, env...)
	again.Await(`DBG nobody else has this id hive=test`)

	other := newMachine(t).serve(t, env...)
	other.Await(`ERR another hive answers to this id, and two with one id share its jobs: give one of them another --hive-id \(RBEE_HIVE_ID\) hive=test hosts=` + host)
	other.Signal(syscall.SIGTERM)
	code, said := other.Exit()
	require.Equal(t, 0, code, said)
}
