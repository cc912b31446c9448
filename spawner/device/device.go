// Package device reads the device string of a job, says which type of worker serves that device, and finds out which
// devices this machine has.
//
// A string is parsed as a whole, never matched by its beginning: what [Parse] does not accept is refused, so that a
// misspelt device never starts a worker on another one. For the same reason a number means one card: cuda:N is the card
// that nvidia-smi calls N, the Nth by its place on the PCI bus. CUDA itself counts so only where CUDA_DEVICE_ORDER is
// [PCIOrder]; who starts a worker says that to it.
package device

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is a kind of device. The zero value is no device.
type Kind string

// The kinds of devices, as they are written in canonical device strings.
const (
	CPU   Kind = "cpu"   // The processors of the machine, taken together.
	CUDA  Kind = "cuda"  // One NVIDIA GPU.
	Metal Kind = "metal" // The GPU of a Mac.
)

// MaxIndex is the highest index that [Parse] accepts.
const MaxIndex = 1023

// Device is one device of a machine. The zero value is no device: it has no worker type and an empty string.
type Device struct {
	Kind  Kind
	Index int // From 0; always 0 for CPU and Metal, of which a machine has one.
}

// Parse returns the device that s names, in either case:
//
//	cpu    cpu:0    cpu-0
//	cuda   cuda:N   cuda-N   gpu   gpu:N   gpu-N
//	metal  metal:0  metal-0
//
// N is a decimal number from 0 to [MaxIndex] without sign or leading zeros, and 0 when it is left out. Anything else,
// surrounding spaces included, returns an [*UnsupportedError]. Whether the machine has the device is not asked here.
func Parse(s string) (Device, error) {
	kind, index := s, ""
	cut := strings.IndexAny(s, ":-")
	if cut >= 0 {
		kind, index = s[:cut], s[cut+1:]
	}
	device := Device{Kind: parseKind(kind)}
	if device.Kind == "" {
		return Device{}, &UnsupportedError{Device: s}
	}
	if cut >= 0 {
		n, ok := parseIndex(index)
		if !ok || (n > 0 && device.Kind != CUDA) {
			return Device{}, &UnsupportedError{Device: s}
		}
		device.Index = n
	}
	return device, nil
}

// String returns the canonical form of d, which [Parse] reads back: "cpu", "cuda:0", "metal". Of the zero Device it
// returns the empty string.
func (d Device) String() string {
	if d.Kind == CUDA {
		return string(d.Kind) + ":" + strconv.Itoa(d.Index)
	}
	return string(d.Kind)
}

// UnsupportedError is the error of [Parse]: no worker can run on a device of that name.
type UnsupportedError struct {
	Device string // The string as it was given.
}

// Error says on one line what was given and what is accepted.
func (e *UnsupportedError) Error() string {
	const shown = 40 // The string is the caller's and may be of any length.
	given := e.Device
	if len(given) > shown {
		given = given[:shown] + "…"
	}
	return fmt.Sprintf("unsupported device %+q: want cpu, cuda:N, gpu:N (N from 0 to %d) or metal", given, MaxIndex)
}

// parseKind returns the kind that word names, or "" for none. It folds ASCII only: no letter of another script passes for
// one of ours.
func parseKind(word string) Kind {
	switch lowerASCII(word) {
	case "cpu":
		return CPU
	case "cuda", "gpu":
		return CUDA
	case "metal":
		return Metal
	}
	return ""
}

// lowerASCII returns word in lower case when it is one to five ASCII letters, and "" otherwise.
func lowerASCII(word string) string {
	var lower [len("metal")]byte
	if len(word) > len(lower) {
		return ""
	}
	for i := range len(word) {
		c := word[i] | 0x20
		if c < 'a' || c > 'z' {
			return ""
		}
		lower[i] = c
	}
	return string(lower[:len(word)])
}

// parseIndex reads what [strconv.Itoa] would write for 0 to MaxIndex, and nothing else.
func parseIndex(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > MaxIndex || strconv.Itoa(n) != s {
		return 0, false
	}
	return n, true
}
