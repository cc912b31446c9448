package process

import (
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Found remembers in which descriptor of which process a listening socket was found, so that the files of a process are listed once
// and only one of them is looked at from then on. It says where to look, not what is there. The zero Found is empty; it may be used by
// several goroutines at once.
type Found struct {
	mu sync.Mutex
	at map[string]place // by the name of the socket, which no other ever has
}

type place struct{ pid, fd int }

// mostFound bounds what is remembered.
const mostFound = 4096

// still reports whether one of the sockets is where it was found, and that is in one of the processes.
func (f *Found) still(sockets map[string]bool, members []Identity) bool {
	if f == nil {
		return false
	}
	target := make([]byte, 64) // longer than the name of any socket
	for socket := range sockets {
		f.mu.Lock()
		at, ok := f.at[socket]
		f.mu.Unlock()
		if !ok || !slices.ContainsFunc(members, func(id Identity) bool { return id.PID == at.pid }) {
			continue
		}
		n, err := unix.Readlink(procPath(at.pid, "/fd/"+strconv.Itoa(at.fd)), target)
		if err == nil && string(target[:n]) == socket {
			return true
		}
	}
	return false
}

func (f *Found) put(socket string, at place) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil || len(f.at) >= mostFound {
		f.at = make(map[string]place)
	}
	f.at[socket] = at
}
