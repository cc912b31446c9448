package doctor

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/spawner/process"
)

func TestFreePorts(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	free := func() Check { return Examine(t.Context(), cfg).one(t, "ports", "free") }
	require.Equal(t, OK, free().Status)
	require.Equal(t, "49 of 49 in "+cfg.Ports.String()+" are free", free().Message)

	cfg.Ports.Last = cfg.Ports.First + 2
	take := func(port int) {
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		require.NoError(t, err)
		t.Cleanup(func() { listener.Close() })
	}
	take(cfg.Ports.First)
	require.Equal(t, Warning, free().Status)
	require.Contains(t, free().Message, "2 of 3 in ")
	take(cfg.Ports.First + 1)
	take(cfg.Ports.First + 2)
	check := free()
	require.Equal(t, Failure, check.Status)
	require.Contains(t, check.Message, "none of 3 in "+cfg.Ports.String()+" is free; ")
	require.Contains(t, check.Advice, "--port-range (RBEE_PORT_RANGE)")
}

func TestEphemeralPorts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ports, kernel, reserved string
		status                  Status
		message                 string
	}{
		"apart":              {"9001-9999", "32768\t60999\n", "", OK, "which 9001-9999 does not touch"},
		"in part":            {"32000-33000", "32768\t60999\n", "", Warning, "has 32768-33000 in common with 32000-33000"},
		"within":             {"40000-40010", "32768\t60999\n", "\n", Warning, "has 40000-40010 in common"},
		"reserved":           {"40000-40010", "32768\t60999\n", "8080,40000-40004,40005-40010\n", OK, "40000-40010 is reserved in it"},
		"reserved with gaps": {"40000-40010", "32768\t60999\n", "40000-40004,40006-40010\n", Warning, "in common"},
		"not readable":       {"40000-40010", "?", "", OK, "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "ip_local_port_range"), []byte(test.kernel), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "ip_local_reserved_ports"), []byte(test.reserved), 0o600))
			ports, err := process.ParsePortRange(test.ports)
			require.NoError(t, err)
			check := only(t, lines(examiner{Config: Config{Ports: ports}}.ephemeral(dir)))
			require.Equal(t, test.status, check.Status)
			require.Contains(t, check.Message, test.message)
		})
	}
	require.Equal(t, "not known on this system", only(t, lines(examiner{}.ephemeral(t.TempDir()))).Message)
}
