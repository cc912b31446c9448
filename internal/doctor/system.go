package doctor

import (
	"context"
	"os"
	"runtime"
)

// system examines what every hive needs of the system.
func (e examiner) system(ctx context.Context) []Check {
	probes := []probe{{name: "user", run: func(context.Context) []Check { return user(os.Geteuid()) }}}
	return e.run(ctx, "system", append(probes, systemProbes()...)...)
}

// user says as whom all of this was examined.
func user(uid int) []Check {
	switch {
	case uid < 0:
		return ok("%s/%s", runtime.GOOS, runtime.GOARCH)
	case uid == 0:
		return warn("run hive and doctor as a user of their own, as deploy/README.md has it", "root: workers would run as root, too")
	}
	return ok("user %d; run doctor as the user of the hive", uid)
}
