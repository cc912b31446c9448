package backend

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// listens reports whether the sockets that listen on the port belong to the tree, all of them: with SO_REUSEPORT there may be
// several, and a connection reaches any. known is false if the system does not tell, or a process of the tree cannot be looked into.
func (t *tree) listens(port int) (owns, known bool) {
	sockets, known := listening(port)
	if len(sockets) == 0 || !known {
		return false, known
	}
	closed := false
	for _, p := range t.living() {
		dir := fmt.Sprintf("/proc/%d/fd", p.pid)
		names, err := readNames(dir)
		closed = closed || os.IsPermission(err)
		for _, name := range names {
			if target, err := os.Readlink(dir + "/" + name); err == nil {
				delete(sockets, target)
			}
		}
	}
	return len(sockets) == 0, len(sockets) == 0 || !closed
}

// listening returns the sockets that listen on the port at an address where 127.0.0.1 reaches them, as /proc/PID/fd shows
// them (proc_pid_net(5)).
func listening(port int) (sockets map[string]bool, known bool) {
	sockets = make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			continue
		}
		known = true
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			const local, state, inode, listen = 1, 3, 9, "0A"
			if len(fields) <= inode || fields[state] != listen {
				continue
			}
			address, number, _ := strings.Cut(fields[local], ":")
			if n, err := strconv.ParseUint(number, 16, 16); err == nil && int(n) == port && isLoopback(address) {
				sockets["socket:["+fields[inode]+"]"] = true
			}
		}
		_ = file.Close()
	}
	return sockets, known
}

// isLoopback reports whether 127.0.0.1 reaches a socket at the address, which is given as the kernel's words of 32 bits in
// hexadecimal, in the machine's order of bytes.
func isLoopback(address string) bool {
	if strings.Trim(address, "0") == "" {
		return true // every address
	}
	mapped := len(address) == 32 && strings.Trim(address[:24], "0F") == "" && strings.Contains(address[:24], "FFFF")
	last := address[max(0, len(address)-8):]
	return (last == "0100007F" || last == "7F000001") && (len(address) == 8 || mapped)
}
