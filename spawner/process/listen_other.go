//go:build !linux

package process

// Holder is a process that has a port.
type Holder struct {
	// PID is its process id.
	PID int
	// Name is what the kernel calls it.
	Name string
}

// Listener reports that the process is not known: the system does not tell.
func Listener(int) (Holder, bool) { return Holder{}, false }

// Serves reports that it is not known: the system does not tell.
func (id Identity) Serves(int) (serves, known bool) { return false, false }

// Has reports whether the pid is the one that id names.
func (id Identity) Has(pid int) bool { return pid == id.PID }
