package doctor

import (
	"context"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

// hiveUnit is the unit of deploy/.
const hiveUnit = "rbee-hive.service"

// systemd examines how the unit of the hive ends it: as most units do it, the workers would end with it. The unit is
// rbee-hive.service, else the one that this process runs in, which file, its /proc/self/cgroup, tells.
func systemd(ctx context.Context, file string) []Check {
	if _, err := exec.LookPath("systemctl"); err != nil {
		return ok("not known: there is no systemctl on this machine")
	}
	units := []string{hiveUnit}
	if own := ownUnit(file); own != "" && own != hiveUnit {
		units = append(units, own)
	}
	for _, unit := range units {
		properties, err := show(ctx, unit)
		if err != nil {
			return ok("not known: %v", err)
		}
		if properties["LoadState"] == "loaded" {
			return judgeUnit(unit, properties)
		}
	}
	return ok("there is no unit %s", hiveUnit)
}

// ownUnit returns the unit of the system that this process is a service of; empty if it is none. One that was made on the
// spot, for a command like this one, says nothing about a hive.
func ownUnit(file string) string {
	data, err := os.ReadFile(file)
	if err != nil || os.Getenv("INVOCATION_ID") == "" {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		group := strings.TrimSpace(line)
		unit := path.Base(group)
		if strings.HasSuffix(unit, ".service") && !strings.HasPrefix(unit, "run-") && !strings.Contains(group, "/user@") {
			return unit
		}
	}
	return ""
}

// show asks systemd for the properties of a unit that matter here.
func show(ctx context.Context, unit string) (map[string]string, error) {
	out, err := output(ctx, "systemctl", "show", unit, "--no-pager", "--property=LoadState,KillMode,TasksMax,OOMPolicy,LimitNOFILESoft")
	if err != nil {
		return nil, err
	}
	properties := map[string]string{}
	for line := range strings.Lines(out) {
		if key, value, is := strings.Cut(strings.TrimSpace(line), "="); is {
			properties[key] = value
		}
	}
	return properties, nil
}

// judgeUnit says what is wrong with a unit, on a line for each property; one that this systemd does not know is left out.
func judgeUnit(unit string, properties map[string]string) []Check {
	var found []Check
	advice := func(setting string) string {
		return "set " + setting + " in [Service] with `systemctl edit " + unit + "`"
	}
	if mode := properties["KillMode"]; mode != "process" && mode != "" {
		found = append(found, fail(advice("KillMode=process"), "%s has KillMode=%s: every stop of the hive kills the workers", unit, mode)...)
	}
	if policy := properties["OOMPolicy"]; policy != "continue" && policy != "" {
		found = append(found, fail(advice("OOMPolicy=continue"), "%s has OOMPolicy=%s: one worker that is out of memory takes the hive and all others with it", unit, policy)...)
	}
	if most, err := strconv.ParseUint(properties["TasksMax"], 10, 64); err == nil && whole64(most) != unlimited {
		found = append(found, warn(advice("TasksMax=infinity"), "%s has TasksMax=%d, for the hive and the threads of all workers", unit, most)...)
	}
	if files, err := strconv.ParseUint(properties["LimitNOFILESoft"], 10, 64); err == nil && limited(whole64(files)) {
		found = append(found, warn(advice("LimitNOFILE=65536"), "%s gives each worker %d open files: a connection costs one", unit, files)...)
	}
	if found == nil {
		return ok("%s lets workers live on", unit)
	}
	return found
}

// whole64 returns what systemd writes as a limit: older ones write infinity as the largest number.
func whole64(n uint64) int64 {
	if n > 1<<62 {
		return unlimited
	}
	return int64(n)
}
