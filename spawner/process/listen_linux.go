package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
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
	l := readListening(port)
	for _, sockets := range []map[string]bool{l.reached[port], l.beside[port]} {
		if len(sockets) == 0 {
			continue
		}
		for _, pid := range pids() {
			if hasFile(pid, sockets) {
				name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				return Holder{PID: pid, Name: strings.TrimSpace(string(name))}, true
			}
		}
	}
	return Holder{}, false
}

// Listening says on which TCP ports of this machine somebody listened at one moment. One look answers for any number of
// workers.
type Listening struct {
	reached map[int]map[string]bool // port: the sockets that a connection to it on 127.0.0.1 can reach, as /proc/PID/fd shows them
	beside  map[int]map[string]bool // port: those that listen on it at other addresses alone
	first   bool                    // further sockets may listen on the port
	found   *Found
}

// ReadListening looks at the sockets as they are now. Where somebody found them before may be nil.
func ReadListening(found *Found) Listening {
	l := readListening(0)
	l.found = found
	return l
}

// ReadListeningOn is [ReadListening] for one port, which costs less.
func ReadListeningOn(port int, found *Found) Listening {
	l := Listening{first: true}
	if inode, ok := askListener(port); ok {
		l.reached = map[int]map[string]bool{port: {socketName(inode): true}}
	} else {
		l = readListening(port)
	}
	l.found = found
	return l
}

func readListening(on int) Listening {
	l := Listening{reached: make(map[int]map[string]bool), beside: make(map[int]map[string]bool)}
	eachListener(on, func(port int, inode uint64, reached bool) {
		sockets := l.beside
		if reached {
			sockets = l.reached
		}
		if sockets[port] == nil {
			sockets[port] = make(map[string]bool, 1)
		}
		sockets[port][socketName(inode)] = true
	})
	return l
}

func socketName(inode uint64) string { return "socket:[" + strconv.FormatUint(inode, 10) + "]" }

// On reports whether anybody listens on the port, at whatever address.
func (l Listening) On(port int) bool { return len(l.reached[port]) > 0 || len(l.beside[port]) > 0 }

// Reached reports whether anybody listens on the port at an address where a connection to 127.0.0.1 reaches them.
func (l Listening) Reached(port int) bool { return len(l.reached[port]) > 0 }

// By reports whether it is the processes whom a connection to the port on 127.0.0.1 reaches, and nobody else: several sockets may
// share a port (SO_REUSEPORT), and a connection goes to any of them. known is false where the system does not tell.
func (l Listening) By(port int, members []Identity) (by, known bool) {
	if !l.Reached(port) || !l.found.in(members, l.reached[port]) {
		return false, true
	}
	if !l.first {
		return true, true
	}
	all := readListening(port)
	return all.Reached(port) && l.found.in(members, all.reached[port]), true
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

// hasFile reports whether the process has one of the files open, which are named as in /proc/PID/fd.
func hasFile(pid int, files map[string]bool) bool {
	_, _, has := findFile(pid, files)
	return has
}

// findFile returns which of the files the process has open, and in which descriptor.
func findFile(pid int, files map[string]bool) (name string, fd int, ok bool) {
	dir, err := openRetry(procPath(pid, "/fd"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", 0, false
	}
	defer closeFD(dir)
	target := make([]byte, unix.PathMax)
	_ = eachNumber(dir, make([]byte, 4<<10), func(number int) {
		if ok {
			return
		}
		n, err := unix.Readlinkat(dir, strconv.Itoa(number), target)
		if ok = err == nil && files[string(target[:n])]; ok {
			name, fd = string(target[:n]), number
		}
	})
	return name, fd, ok
}
