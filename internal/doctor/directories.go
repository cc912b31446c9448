package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rbee-keeper/hive/spawner/binary"
	"github.com/rbee-keeper/hive/spawner/process"
)

// What should be free of a disk, in bytes: for the records of 1,000 workers and as many that ended, and for the logs of a few.
const (
	roomForRecords = 32 << 20
	roomForLogs    = 1 << 30
	roomForFiles   = 4000 // of those that the run directory holds
)

// directories examines where the hive writes and where workers run.
func (e examiner) directories(ctx context.Context) []Check {
	return e.run(ctx, "directories",
		probe{name: "run_dir", run: func(context.Context) []Check { return e.runDir() }},
		probe{name: "run_dir_disk", run: func(context.Context) []Check { return runDisk(e.RunDir) }},
		probe{name: "workers", run: e.workers},
		probe{name: "log_dir", run: func(context.Context) []Check { return e.logDir() }},
		probe{name: "log_dir_disk", run: func(context.Context) []Check { return logDisk(e.LogDir) }},
		probe{name: "work_dir", run: func(context.Context) []Check { return e.workDir() }},
	)
}

func (e examiner) runDir() []Check {
	const flag = "name another with --run-dir (RBEE_RUN_DIR)"
	run, err := process.InspectRunDir(e.RunDir)
	if errors.Is(err, fs.ErrNotExist) {
		return missing(e.RunDir, flag)
	}
	if err != nil {
		return failBy(err, flag)
	}
	for _, dir := range []string{run.Path(), run.Path() + "/workers", run.Path() + "/ports"} {
		if err := writable(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fail(flag+", or give this user the right to write there", "this user cannot write to it: %v", err)
		}
	}
	return ok("%s", describe(run.Path()))
}

// runDisk examines the disk that the run directory is on or would be on.
func runDisk(path string) []Check {
	d, known, err := diskOf(path)
	switch {
	case err != nil:
		return failBy(err, "name another with --run-dir (RBEE_RUN_DIR)")
	case !known:
		return ok("not known on this system")
	case d.free < 1<<20:
		return fail("free some space there", "its disk is full: %s are free", size(d.free))
	case d.free < roomForRecords || d.files < roomForFiles:
		return warn("free some space there", "its disk is nearly full: %s and %d files are free", size(d.free), d.files)
	case !d.memory:
		return warn("name one below /run or $XDG_RUNTIME_DIR with --run-dir (RBEE_RUN_DIR)",
			"it is not on a tmpfs: each start writes to a disk, which makes it several times slower, and the records outlive a reboot")
	}
	return ok("tmpfs, %s free", size(d.free))
}

// workers examines whose the run directory is, and counts what it remembers.
func (e examiner) workers(ctx context.Context) []Check {
	run, err := process.InspectRunDir(e.RunDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ok("none is known: there is no run directory yet")
	case err != nil:
		return warn("mend the run directory first, then run doctor again", "not known: the run directory cannot be used")
	}
	owner, err := run.Owner()
	if err != nil {
		return failBy(err, "let this user read it, or name another with --run-dir (RBEE_RUN_DIR)")
	}
	if owner != "" && owner != e.HiveID {
		return fail("name another with --run-dir (RBEE_RUN_DIR), or remove it when the workers of that hive have ended",
			"%s belongs to hive %q: serve does not start on it", run.Path(), owner)
	}
	ids, err := run.Workers()
	if errors.Is(err, fs.ErrNotExist) {
		return ok("none is known")
	}
	if err != nil {
		return failBy(err, "let this user read it, or name another with --run-dir (RBEE_RUN_DIR)")
	}
	living := 0
	for _, id := range ids {
		var record struct {
			Process process.Started `json:"process"`
		}
		if ctx.Err() != nil {
			return ok("%d are known", len(ids))
		}
		if run.ReadRecord(id, &record) == nil && record.Process.Alive() {
			living++
		}
	}
	return ok("%d are known, %d of them living", len(ids), living)
}

func (e examiner) logDir() []Check {
	const flag = "name another with --log-dir (RBEE_LOG_DIR)"
	path, err := filepath.Abs(e.LogDir)
	if err != nil {
		return failBy(err, flag)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(path, flag)
	case err != nil:
		return failBy(err, flag)
	case !info.IsDir():
		return fail(flag, "%s is not a directory", path)
	}
	if err := binary.CheckPrivate(path, info.Mode()); err != nil {
		return failBy(err, flag)
	}
	if err := writable(path); err != nil {
		return fail(flag+", or give this user the right to write there", "this user cannot write to it: %v", err)
	}
	return ok("%s", describe(path))
}

// logDisk examines the disk that the log directory is on or would be on.
func logDisk(path string) []Check {
	d, known, err := diskOf(path)
	switch {
	case err != nil:
		return failBy(err, "name another with --log-dir (RBEE_LOG_DIR)")
	case !known:
		return ok("not known on this system")
	case d.free < 1<<20:
		return fail("free some space there", "its disk is full: %s are free", size(d.free))
	case d.memory:
		return warn("name one on a disk with --log-dir (RBEE_LOG_DIR)", "it is on a tmpfs (%s free): logs take memory and end with the machine", size(d.free))
	case d.free < roomForLogs:
		return warn("free some space there", "its disk is nearly full: %s are free", size(d.free))
	}
	return ok("%s free", size(d.free))
}

func (e examiner) workDir() []Check {
	const flag = "make it, or name another with --work-dir (RBEE_WORK_DIR)"
	path := e.WorkDir
	if path == "" {
		path = "/"
	}
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", path)
	}
	if err == nil {
		err = searchable(path)
	}
	if err != nil {
		return fail(flag, "no worker can start: %v", err)
	}
	return ok("%s", describe(path))
}

// missing examines whether serve could make a directory that is not there.
func missing(path, flag string) []Check {
	above, err := nearest(path)
	if err == nil {
		err = writable(above)
	}
	if err != nil {
		return fail("make it for this user, or "+flag, "%s does not exist, and serve cannot make it: %v", path, err)
	}
	return ok("%s does not exist yet; serve makes it, in %s", path, above)
}

// nearest returns the directory at path, or the nearest one above it that exists.
func nearest(path string) (string, error) {
	path, err := filepath.Abs(path)
	for err == nil {
		var info fs.FileInfo
		info, err = os.Stat(path)
		switch parent := filepath.Dir(path); {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is not a directory", path)
		case err == nil:
			return path, nil
		case errors.Is(err, fs.ErrNotExist) && parent != path:
			path, err = parent, nil
		}
	}
	return "", err
}

// describe returns the path with its owner and mode.
func describe(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return path
	}
	if uid, known := owner(info); known {
		return fmt.Sprintf("%s (user %d, mode %04o)", path, uid, info.Mode().Perm())
	}
	return path
}

// size returns a number of bytes as people read it.
func size(n uint64) string {
	for _, unit := range []struct {
		name  string
		bytes uint64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
