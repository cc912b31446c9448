package process

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Holder is a process that has a port.
type Holder struct {
	// PID is its process id.
	PID int
	// Name is what the kernel calls it, at most 15 bytes.
	Name string
}

// Listener returns the process that listens on the TCP port, if it can be known: the files of another user's process
// cannot be seen. It looks through /proc and costs milliseconds.
func Listener(port int) (Holder, bool) {
	inodes := listenInodes(port)
	if len(inodes) == 0 {
		return Holder{}, false
	}
	for _, pid := range pids() {
		if hasFile(pid, inodes) {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			return Holder{PID: pid, Name: strings.TrimSpace(string(name))}, true
		}
	}
	return Holder{}, false
}

// Serves reports whether a process of the worker that id leads listens on the TCP port: the process itself, its
// descendants, and whoever is in its session. known is false where the system does not tell.
func (id Identity) Serves(port int) (serves, known bool) {
	inodes := listenInodes(port)
	for _, pid := range id.tree() {
		if hasFile(pid, inodes) {
			return true, true
		}
	}
	return false, true
}

// Has reports whether the process with this pid is of the worker that id leads: see [Identity.Serves].
func (id Identity) Has(pid int) bool { return slices.Contains(id.tree(), pid) }

// tree returns the processes of the worker that id leads, itself first.
func (id Identity) tree() []int {
	members := map[int]bool{id.PID: true}
	tree := []int{id.PID}
	all := pids()
	for grown := true; grown; {
		grown = false
		for _, pid := range all {
			stat, err := readStat(pid)
			if err != nil || members[pid] || (stat.session != id.PID && !members[stat.parent]) {
				continue
			}
			members[pid], grown = true, true
			tree = append(tree, pid)
		}
	}
	return tree
}

func pids() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// listenInodes returns the inodes of the sockets that listen on the port, as /proc/PID/fd shows them.
func listenInodes(port int) map[string]bool {
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			continue
		}
		suffix := fmt.Sprintf(":%04X", port)
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			const local, state, inode, listen = 1, 3, 9, "0A"
			if len(fields) > inode && fields[state] == listen && strings.HasSuffix(fields[local], suffix) {
				inodes["socket:["+fields[inode]+"]"] = true
			}
		}
		_ = file.Close()
	}
	return inodes
}

// hasFile reports whether the process has one of the files open, which are named as in /proc/PID/fd.
func hasFile(pid int, files map[string]bool) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	file, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	names, _ := file.Readdirnames(-1)
	for _, name := range names {
		if target, err := os.Readlink(dir + "/" + name); err == nil && files[target] {
			return true
		}
	}
	return false
}
