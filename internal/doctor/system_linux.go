package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func systemProbes() []probe {
	return []probe{
		{name: "kernel", run: func(context.Context) []Check { return kernel() }},
		{name: "proc", run: func(context.Context) []Check { return proc("/proc/self/mountinfo") }},
		{name: "clock", run: func(context.Context) []Check { return clock() }},
	}
}

// kernel examines whether processes can be watched by their pidfd: waitid takes one since 5.4.
func kernel() []Check {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return failBy(fmt.Errorf("uname: %w", err), "report this as a fault of rbee-hive")
	}
	return judgeKernel(unix.ByteSliceToString(name.Release[:]))
}

func judgeKernel(release string) []Check {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return warn("make sure that it is 5.4 or newer", "Linux %s: its version cannot be read", release)
	}
	if major < 5 || major == 5 && minor < 4 {
		return fail("use Linux 5.4 or newer", "Linux %s cannot watch a process by its pidfd", release)
	}
	return ok("Linux %s", release)
}

// proc examines how /proc is mounted; file is /proc/self/mountinfo (proc(5)).
func proc(file string) []Check {
	data, err := os.ReadFile(file)
	if err != nil {
		return failBy(err, "mount proc at /proc")
	}
	hidden := ""
	for line := range strings.Lines(string(data)) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		if len(mount) < 5 || mount[4] != "/proc" || len(kind) < 3 || kind[0] != "proc" {
			continue
		}
		hidden = "" // a later one covers it
		for option := range strings.SplitSeq(kind[2], ",") {
			if value, is := strings.CutPrefix(option, "hidepid="); is && value != "0" && value != "off" {
				hidden = option
			}
		}
	}
	if hidden != "" {
		return ok("mounted with %s: a port that another user's process holds is reported without its holder", hidden)
	}
	return ok("mounted, and shows the processes of all users")
}

// clock examines whether somebody keeps this machine's clock right: deadlines of jobs come from the clocks of others.
func clock() []Check {
	const advice = "run a time service, like systemd-timesyncd or chrony"
	var state unix.Timex
	status, err := unix.Adjtimex(&state) // Modes 0 only asks
	switch {
	case err != nil:
		return ok("not known: %v", err)
	case status == unix.TIME_ERROR || state.Status&unix.STA_UNSYNC != 0:
		return warn(advice, "%s, and nobody keeps it right as far as the kernel knows: deadlines of jobs come from other clocks", now())
	}
	return ok("%s, kept right", now())
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }
