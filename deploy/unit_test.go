package deploy_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// required has the directives without which the unit breaks a promise; "section.key" → its values.
var required = map[string][]string{
	"Unit.StartLimitIntervalSec": {"0"},
	"Unit.Wants":                 {"network-online.target"},

	"Service.Type":                     {"notify"},
	"Service.User":                     {"rbee"},
	"Service.Group":                    {"rbee"},
	"Service.ExecStart":                {"/usr/local/bin/rbee-hive serve"},
	"Service.EnvironmentFile":          {"-/etc/rbee/hive.env"},
	"Service.Restart":                  {"always"},
	"Service.RestartPreventExitStatus": {"2"},
	"Service.TimeoutStartSec":          {"infinity"},

	"Service.KillMode":  {"process"},
	"Service.TasksMax":  {"infinity"},
	"Service.OOMPolicy": {"continue"},

	"Service.RuntimeDirectory":         {"rbee-hive"},
	"Service.RuntimeDirectoryPreserve": {"yes"},
	"Service.RuntimeDirectoryMode":     {"0700"},
	"Service.LogsDirectory":            {"rbee"},
	"Service.StateDirectory":           {"rbee"},
	"Service.WorkingDirectory":         {"/"},

	"Service.NoNewPrivileges":       {"yes"},
	"Service.CapabilityBoundingSet": {""},
	"Service.AmbientCapabilities":   {""},
	"Service.ProtectSystem":         {"full"},

	"Install.WantedBy": {"multi-user.target"},
}

// harmful has the directives that would reach the workers; the unit's last paragraph says how.
var harmful = []string{
	"PrivateTmp", "RemoveIPC", "DynamicUser", "PrivateDevices", "DeviceAllow", "DevicePolicy", "ProtectClock", "PrivateUsers",
	"PrivateNetwork", "IPAddressDeny", "MemoryDenyWriteExecute", "SystemCallFilter", "RestrictNamespaces", "ProcSubset",
	"OOMScoreAdjust",
}

func TestUnitKeepsItsPromises(t *testing.T) {
	t.Parallel()
	unit := parseUnit(t, readFile(t, "rbee-hive.service"))
	for directive, values := range required {
		require.Equal(t, values, unit[directive], directive)
	}
	for _, directive := range harmful {
		require.NotContains(t, unit, "Service."+directive)
	}
	require.Contains(t, unit["Service.Environment"], "RBEE_CATALOG_DIR=/opt/rbee/workers")

	const drain = 30 * time.Second // the default of RBEE_DRAIN_TIMEOUT
	stop, err := time.ParseDuration(unit["Service.TimeoutStopSec"][0] + "s")
	require.NoError(t, err)
	require.Greater(t, stop, drain)
}

func TestUnitExplainsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	_, explained, found := strings.Cut(readFile(t, "rbee-hive.service"), "# Left out on purpose:")
	require.True(t, found)
	for _, directive := range harmful {
		require.Contains(t, explained, directive)
	}
}

// Where systemd is, its own checker has the last word; elsewhere the two tests above are what there is.
func TestUnitIsCleanForSystemd(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd-analyze on this machine: the directives were checked, the syntax was not")
		return
	}
	// The checker wants the program to exist, so the copy that it reads starts this test.
	program, err := os.Executable()
	require.NoError(t, err)
	unit := strings.ReplaceAll(readFile(t, "rbee-hive.service"), "/usr/local/bin/rbee-hive", program)

	output, err := verify(t, analyze, unit)
	require.NoError(t, err, output)
	require.Empty(t, output)

	t.Log("and it would have noticed a mistake")
	output, err = verify(t, analyze, strings.Replace(unit, "KillMode=", "KilMode=", 1))
	require.True(t, err != nil || output != "", "a misspelt directive passed")
	require.Contains(t, output, "KilMode")
}

func verify(t *testing.T, analyze, unit string) (string, error) {
	t.Helper()
	path := writeFile(t, "rbee-hive.service", unit)
	// Only this unit counts, not those that it names, and no manual pages are looked up.
	cmd := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", "--recursive-errors=no", path)
	cmd.Dir = filepath.Dir(path)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// parseUnit reads the unit's directives; it fails the test on a line that is neither a directive, a section, a comment
// nor empty. "section.key" → values in the order of the file.
func parseUnit(t *testing.T, text string) map[string][]string {
	t.Helper()
	directives, section := map[string][]string{}, ""
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
		default:
			key, value, found := strings.Cut(line, "=")
			require.True(t, found && section != "" && key == strings.TrimSpace(key), line)
			directives[section+"."+key] = append(directives[section+"."+key], value)
		}
	}
	return directives
}

// The drop-in turns on what the hive knows by that name, and takes away the one wall of the unit that is in its way.
func TestControlGroupDropIn(t *testing.T) {
	t.Parallel()
	dropIn := parseUnit(t, readFile(t, "worker-cgroups.conf"))
	require.Equal(t, map[string][]string{
		"Service.Environment":          {"RBEE_WORKER_CGROUPS=true"},
		"Service.Delegate":             {"yes"},
		"Service.ProtectControlGroups": {"no"},
	}, dropIn)
	require.Contains(t, readFile(t, "hive.env"), "#RBEE_WORKER_CGROUPS=false\n")
	require.Equal(t, []string{"yes"}, parseUnit(t, readFile(t, "rbee-hive.service"))["Service.ProtectControlGroups"])
}
