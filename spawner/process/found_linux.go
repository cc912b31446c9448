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

// in reports whether each of the sockets is in one of the processes. It looks first where they were found before.
func (f *Found) in(members []Identity, sockets map[string]bool) bool {
	missing := make(map[string]bool)
	for socket := range sockets {
		if !f.still(socket, members) {
			missing[socket] = true
		}
	}
	for _, member := range members {
		for len(missing) > 0 {
			socket, fd, ok := findFile(member.PID, missing)
			if !ok {
				break
			}
			f.put(socket, place{member.PID, fd})
			delete(missing, socket)
		}
	}
	return len(missing) == 0
}

// still reports whether the socket is where it was found, and that is in one of the processes.
func (f *Found) still(socket string, members []Identity) bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	at, ok := f.at[socket]
	f.mu.Unlock()
	if !ok || !slices.ContainsFunc(members, func(id Identity) bool { return id.PID == at.pid }) {
		return false
	}
	target := make([]byte, 64) // longer than the name of any socket
	n, err := unix.Readlink(procPath(at.pid, "/fd/"+strconv.Itoa(at.fd)), target)
	return err == nil && string(target[:n]) == socket
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
