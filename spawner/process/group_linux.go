package process

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Groups makes control groups (cgroup v2) for workers, below the one that this process is in. A worker in one cannot leave
// it, whatever it does to its session, its parents and its descriptors, and is killed as a whole. Everything works without.
type Groups struct{ path string }

// Group is the control group of one worker.
type Group struct {
	path string
	dir  int
}

// OpenGroups returns the control group that this process is in. The error is errors.ErrUnsupported if there is no cgroup v2
// or this process may not make groups there: a service of systemd may with Delegate=yes.
func OpenGroups() (*Groups, error) {
	own, err := ownGroup()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoGroups, err)
	}
	// To have a process begin in a group takes the right to move it there from here (clone3(2), CLONE_INTO_CGROUP).
	for _, path := range []string{own, own + "/cgroup.procs"} {
		if err := unix.Access(path, unix.W_OK); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoGroups, &fs.PathError{Op: "write", Path: path, Err: err})
		}
	}
	return &Groups{path: own}, nil
}

var errNoGroups = fmt.Errorf("no control group can be made: %w", errors.ErrUnsupported)

// Make makes the group with this name, or takes an empty one that is there already. The error is [ErrHeld] if processes are
// in it. Close it once the worker is started.
func (g *Groups) Make(name string) (*Group, error) {
	group, err := g.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := unix.Mkdir(g.path+"/"+name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("%w: %w", errNoGroups, &fs.PathError{Op: "mkdir", Path: g.path + "/" + name, Err: err})
		}
		group, err = g.Open(name)
	}
	if err != nil {
		return nil, err
	}
	if group.Populated() {
		group.Close()
		return nil, group.held()
	}
	return group, nil
}

// Open returns the group that was made with this name, as by an earlier hive. The error is fs.ErrNotExist if there is none.
func (g *Groups) Open(name string) (*Group, error) {
	if name == "" || strings.ContainsAny(name, "/\n") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "cgroup.") {
		return nil, fmt.Errorf("control group %q: no slash, no leading dot and no leading \"cgroup.\", please", name)
	}
	path := g.path + "/" + name
	dir, err := openRetry(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Group{path: path, dir: dir}, nil
}

// Names returns the names of the groups that there are.
func (g *Groups) Names() []string {
	paths := subgroups(g.path)
	for i, path := range paths {
		paths[i] = filepath.Base(path)
	}
	return paths
}

// Close closes the descriptor by which processes are started into the group; the group stays. It may be called twice. A nil group
// has none.
func (g *Group) Close() {
	if g != nil && g.dir >= 0 {
		closeFD(g.dir)
		g.dir = -1
	}
}

// Populated reports whether processes are in the group, or in one below. In a nil group is nobody.
func (g *Group) Populated() bool {
	if g == nil {
		return false
	}
	data, err := os.ReadFile(g.path + "/cgroup.events")
	return err == nil && strings.Contains(string(data), "populated 1")
}

// Kill sends SIGKILL to all processes in the group at once, so that none can fork away. The error is
// errors.ErrUnsupported on Linux before 5.14, and if this process is in the group itself.
func (g *Group) Kill() error {
	for _, pid := range g.pids() {
		if int(pid) == os.Getpid() {
			return fmt.Errorf("kill control group %s: this process is in it: %w", g.path, errors.ErrUnsupported)
		}
	}
	err := os.WriteFile(g.path+"/cgroup.kill", []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("kill control group %s: %w", g.path, errors.ErrUnsupported)
	}
	return err
}

// Remove removes the group and those below it. The error is [ErrHeld] if somebody is in one of them.
func (g *Group) Remove() error {
	if g.Populated() { // or what is below would go, which who is in it may have made
		return g.held()
	}
	err := removeGroup(g.path)
	if errors.Is(err, unix.EBUSY) {
		return g.held()
	}
	return err
}

func (g *Group) held() error {
	return fmt.Errorf("control group %s, by processes %v: %w", filepath.Base(g.path), g.pids(), ErrHeld)
}

func removeGroup(path string) error {
	for _, below := range subgroups(path) {
		if err := removeGroup(below); err != nil {
			return err
		}
	}
	if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}

// String names the group and who is in it.
func (g *Group) String() string {
	return fmt.Sprintf("control group %s: processes %v", g.path, g.pids())
}

// pids returns the processes in the group and in those below.
func (g *Group) pids() []int32 {
	if g == nil {
		return nil
	}
	return groupPIDs(g.path, nil)
}

func groupPIDs(path string, pids []int32) []int32 {
	if data, err := os.ReadFile(path + "/cgroup.procs"); err == nil {
		for line := range strings.Lines(string(data)) {
			if pid, err := strconv.ParseInt(strings.TrimSpace(line), 10, 32); err == nil && pid > 1 {
				pids = append(pids, int32(pid))
			}
		}
	}
	for _, below := range subgroups(path) {
		pids = groupPIDs(below, pids)
	}
	return pids
}

func subgroups(path string) []string {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil
	}
	var below []string
	for _, entry := range entries {
		if entry.IsDir() {
			below = append(below, path+"/"+entry.Name())
		}
	}
	return below
}

// ownGroup returns the directory of the cgroup v2 that this process is in (cgroups(7), /proc/PID/cgroup).
func ownGroup() (string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return mountedGroup(strings.TrimSuffix(path, "\n"))
		}
	}
	return "", errors.New("this process is in no cgroup v2")
}

// mountedGroup returns where the group can be seen, by the mounts of cgroup v2 (proc_pid_mountinfo(5)).
func mountedGroup(group string) (string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		mount, kind, ok := strings.Cut(lines.Text(), " - ")
		const root, point = 3, 4
		fields := strings.Fields(mount)
		if !ok || len(fields) <= point || !strings.HasPrefix(kind, "cgroup2 ") {
			continue
		}
		if below, err := filepath.Rel(fields[root], group); err == nil && below != ".." && !strings.HasPrefix(below, "../") {
			return filepath.Join(fields[point], below), nil
		}
	}
	return "", errors.New("no cgroup v2 is mounted here that shows the group of this process")
}
