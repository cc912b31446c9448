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

// Listening says on which TCP ports somebody listens; this system does not tell.
type Listening struct{}

// Found remembers where sockets were found; none are on this system.
type Found struct{}

// ReadListening returns what is not known.
func ReadListening(*Found) Listening { return Listening{} }

// ReadListeningOn returns what is not known.
func ReadListeningOn(int, *Found) Listening { return Listening{} }

// On reports that somebody may listen on the port.
func (l Listening) On(int) bool { return true }

// Reached reports that somebody may listen there.
func (l Listening) Reached(int) bool { return true }

// By reports that it is not known.
func (l Listening) By(int, []Identity) (by, known bool) { return false, false }
