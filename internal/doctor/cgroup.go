package doctor

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// pidsLimit examines how many processes the control group of this process, and all above it, may have. File is this
// process's /proc/self/cgroup, root where the control groups are mounted.
func pidsLimit(file, root string) []Check {
	dir, ok1 := pidsGroup(file, root)
	if !ok1 {
		return ok("not known: there is no control group that counts processes")
	}
	const none = int64(unlimited)
	least, used, at := none, int64(0), ""
	for ; len(dir) >= len(root); dir = filepath.Dir(dir) {
		most, err := readNumber(filepath.Join(dir, "pids.max"))
		if err != nil || least != none && most >= least { // also "max", which is none
			continue
		}
		now, _ := readNumber(filepath.Join(dir, "pids.current"))
		least, used, at = most, now, dir
	}
	switch {
	case at == "":
		return ok("no control group bounds the number of processes")
	case least-used < few:
		return warn("raise it: TasksMax=infinity in the unit, --pids-limit=-1 for a container",
			"%d of the %d processes and threads of %s are taken, workers' threads included", used, least, at)
	}
	return ok("%d of the %d processes and threads of %s are taken", used, least, at)
}

// pidsGroup returns the directory of the control group that counts this process, of either version (cgroups(7)).
func pidsGroup(file, root string) (dir string, known bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", false
	}
	second := ""
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		group := path.Clean("/" + fields[2])
		for controller := range strings.SplitSeq(fields[1], ",") {
			if controller == "pids" {
				return filepath.Join(root, "pids", group), true
			}
		}
		if fields[0] == "0" && fields[1] == "" {
			second = filepath.Join(root, group)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		return "", false
	}
	return second, second != ""
}

func readNumber(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}
