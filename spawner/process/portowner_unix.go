//go:build unix

package process

import (
	"encoding/json"

	"golang.org/x/sys/unix"
)

// GivePort writes down that a port is a process's for as long as that lives: it may let go of the lock that it inherited long before it
// listens.
func (d *RunDir) GivePort(port int, to Identity) error {
	data, err := json.Marshal(to)
	if err != nil {
		return err
	}
	return writeOwn(d.portPath(port), data)
}

// PortOwner returns the process that was given the port last; the zero Identity if none was, as far as is known.
func (d *RunDir) PortOwner(port int) (last Identity) {
	if d.readJSON(d.portPath(port), &last) != nil {
		return Identity{}
	}
	return last
}

// portOf is [RunDir.PortOwner] of a port whose lock file is open.
func (d *RunDir) portOf(port, lock int) Identity {
	var file unix.Stat_t
	if unix.Fstat(lock, &file) != nil || file.Size == 0 { // as it is before the first
		return Identity{}
	}
	return d.PortOwner(port)
}
