package doctor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

const (
	// few is how many open files are few, and how many processes and threads: a hive has a file for each living worker, a
	// worker one per connection, and a worker on a GPU has hundreds of threads.
	few = 4096
	// unlimited is a limit that is none.
	unlimited = -1
)

// limits examines what bounds the hive and the workers, who are its children.
func (e examiner) limits(ctx context.Context) []Check {
	return e.run(ctx, "limits",
		probe{name: "open_files", run: openFiles},
		probe{name: "processes", run: func(context.Context) []Check { return processLimit() }},
		probe{name: "cgroup_pids", run: func(context.Context) []Check { return pidsLimit("/proc/self/cgroup", "/sys/fs/cgroup") }},
		probe{name: "systemd", run: func(ctx context.Context) []Check { return systemd(ctx, "/proc/self/cgroup") }},
	)
}

// openFiles examines the limit that this process has and the one that its children get. They differ: the runtime of Go
// raises its own to the hard limit, and gives children the first one back.
func openFiles(ctx context.Context) []Check {
	const advice = "raise it: LimitNOFILE=65536 in the unit, `ulimit -n 65536` in a shell"
	_, hard, known := fileLimit()
	if !known {
		return ok("not known on this system")
	}
	soft, err := childLimit(ctx)
	switch {
	case limited(hard):
		return warn(advice, "%s for the hive and for each worker; a living worker costs the hive one, and a connection the worker", limit(hard))
	case err != nil:
		return ok("%s for the hive; for a worker not known: %v", limit(hard), err)
	case limited(soft):
		return warn(advice, "%s for a worker unless it raises that itself, %s for the hive: a connection costs the worker one", limit(soft), limit(hard))
	}
	return ok("%s for a worker, %s for the hive", limit(soft), limit(hard))
}

// childLimit asks a child how many files it may have open.
func childLimit(ctx context.Context) (int64, error) {
	out, err := output(ctx, "sh", "-c", "ulimit -Sn")
	if err != nil {
		return 0, err
	}
	if out == "unlimited" {
		return unlimited, nil
	}
	return strconv.ParseInt(out, 10, 64)
}

func processLimit() []Check {
	soft, known := userProcesses()
	switch {
	case !known:
		return ok("not known on this system")
	case limited(soft):
		return warn("raise it: LimitNPROC=infinity in the unit, `ulimit -u unlimited` in a shell",
			"%s processes and threads for all that this user runs: a start may fail for want of one", limit(soft))
	}
	return ok("%s processes and threads for this user", limit(soft))
}

func limited(n int64) bool { return n != unlimited && n < few }

// limit returns a limit as people read it.
func limit(n int64) string {
	if n == unlimited {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

// output returns what a program says on stdout, without the white space around it. The error has the first line that it says
// on stderr.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = grace / 2 // for what it has started and left with its output
	out, err := cmd.Output()
	if err != nil && ctx.Err() != nil {
		return "", fmt.Errorf("%s did not end in time", name)
	}
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		said := strings.TrimSpace(string(exit.Stderr) + "\n" + string(out))
		line, _, _ := strings.Cut(said, "\n")
		return "", fmt.Errorf("%s: %w: %s", name, err, line)
	}
	return strings.TrimSpace(string(out)), err
}
