package device

import (
	"fmt"
	"strings"
	"time"
)

// Found is what is known of one device of this machine.
type Found struct {
	// Device is how jobs name it.
	Device
	// Name is what its maker calls it; empty if that is not known.
	Name string
	// UUID names the card wherever it is plugged in, like "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"; empty if it has none
	// or it is not known.
	UUID string
	// Memory is its memory in bytes, of a processor the machine's; 0 if that is not known or the card has none of its own.
	Memory int64
	// Used is how many bytes of that were in use; nil if that is not known.
	Used *int64
	// Cores is how many logical cores the processors have; 0 of a GPU.
	Cores int
	// MIG says that the card is divided into MIG devices: CUDA shows a program one of these, and counts otherwise.
	MIG bool

	bus string // its place on the PCI bus; empty if that is not known
}

// Report is what a look at this machine has found.
type Report struct {
	// Devices are the devices, the processors first, then the GPUs by their indices.
	Devices []Found
	// Problems say, a line each, what could not be found out, and why; empty if all is known.
	Problems []string
	// Whole says that no other GPU is there than those of Devices.
	Whole bool
	// At is when it was found; zero if nothing has been looked for yet.
	At time.Time
}

// Find returns the device of that name.
func (r Report) Find(d Device) (Found, bool) {
	for _, found := range r.Devices {
		if found.Device == d {
			return found, true
		}
	}
	return Found{}, false
}

// Names returns how jobs name the devices.
func (r Report) Names() []string {
	names := make([]string, len(r.Devices))
	for i, found := range r.Devices {
		names[i] = found.String()
	}
	return names
}

// Problem returns the problems in one line, or "" if there are none.
func (r Report) Problem() string { return strings.Join(r.Problems, "; ") }

// mostProblems bounds the problems of a report: a driver in trouble may have one for each card.
const mostProblems = 8

// trouble adds a problem.
func (r *Report) trouble(format string, args ...any) {
	switch len(r.Problems) {
	case mostProblems:
	case mostProblems - 1:
		r.Problems = append(r.Problems, "and more")
	default:
		r.Problems = append(r.Problems, tidy(fmt.Sprintf(format, args...), 256))
	}
}

// NotFoundError says that this machine does not have the device.
type NotFoundError struct {
	Device  Device   // What was asked for.
	Devices []string // What there is.
}

// Error says on one line what there is.
func (e *NotFoundError) Error() string {
	const most = 16
	names := e.Devices
	more := ""
	if len(names) > most {
		names, more = names[:most], fmt.Sprintf(" and %d more", len(names)-most)
	}
	return fmt.Sprintf("this machine has no %s; it has %s%s", e.Device, strings.Join(names, ", "), more)
}

// UnknownError says that it is not known whether this machine has the device, or not what was asked of it.
type UnknownError struct {
	Device Device // What was asked for.
	What   string // What is not known of it, like "UUID"; empty if not even whether it is there.
	Why    string // Why not.
}

// Error says on one line what is not known, and why.
func (e *UnknownError) Error() string {
	if e.What != "" {
		return fmt.Sprintf("the %s of %s is not known: %s", e.What, e.Device, e.Why)
	}
	return fmt.Sprintf("whether this machine has %s is not known: %s", e.Device, e.Why)
}

// tidy returns text from outside as it can be shown: on one line, printable, in valid UTF-8, with no more than most bytes.
func tidy(text string, most int) string {
	if len(text) > 4*most {
		text = text[:4*most]
	}
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return r <= ' ' || r >= 0x7f && r < 0xa1 }), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-len("…")], "") + "…"
	}
	return text
}
