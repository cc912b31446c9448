package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
)

// ErrNoFreePort is returned when every port of a range is taken.
var ErrNoFreePort = errors.New("no free port")

// PortRange is a range of TCP ports, both ends included. The zero value means 9001 to 9999.
type PortRange struct {
	First, Last int
}

// ParsePortRange reads "FIRST-LAST" or a single port.
func ParsePortRange(text string) (PortRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if err1 != nil || err2 != nil || from < 1 || to > 65535 || from > to {
		return PortRange{}, fmt.Errorf("port range %q: use FIRST-LAST with ports from 1 to 65535, like 9001-9999", text)
	}
	return PortRange{First: from, Last: to}, nil
}

// String returns the range as [ParsePortRange] reads it.
func (r PortRange) String() string {
	r = r.orDefault()
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

func (r PortRange) orDefault() PortRange {
	if r == (PortRange{}) {
		return PortRange{First: 9001, Last: 9999}
	}
	return r
}

// Ports hands out the ports of one range, each to one worker at a time.
type Ports struct {
	run   *RunDir
	ports PortRange
	next  atomic.Uint32
}

// Ports returns the ports of a range, whose locks are in d. The first one that is handed out is any of them, so that hives
// that share a machine and a range, and not a run directory, rarely try the same one.
func (d *RunDir) Ports(ports PortRange) *Ports {
	p := &Ports{run: d, ports: ports.orDefault()}
	p.next.Store(rand.Uint32())
	return p
}

// Port is one port with its lock.
type Port struct {
	// Number is the TCP port.
	Number int
	lock   int
}

// Take locks a port and proves by binding it that nobody listens on it, and that the process lives no more which had it last.
// 0 takes the next free one of the range, in rotation, so that a port rests as long as possible before it is used again. The
// error is [ErrHeld] for a given port that is taken, [ErrNoFreePort] if the whole range is.
func (p *Ports) Take(port int) (*Port, error) {
	if port != 0 {
		return p.try(port)
	}
	size := p.ports.Last - p.ports.First + 1
	for range size {
		candidate := p.ports.First + int(p.next.Add(1)%uint32(size))
		taken, err := p.try(candidate)
		if err == nil || !errors.Is(err, ErrHeld) && !errors.Is(err, errIrregular) {
			return taken, err
		}
	}
	return nil, fmt.Errorf("%w in %s", ErrNoFreePort, p.ports)
}

// Range returns the range that the ports are taken from.
func (p *Ports) Range() PortRange { return p.ports }

func (p *Ports) try(number int) (*Port, error) {
	fd, err := lock(p.run.portPath(number))
	if err != nil {
		return nil, err
	}
	err = bindable(number)
	if err == nil && p.run.portOf(number, fd).Alive() {
		err = fmt.Errorf("port %d: %w", number, ErrHeld)
	}
	if err != nil {
		unlock(fd)
		return nil, err
	}
	return &Port{Number: number, lock: fd}, nil
}

func (d *RunDir) portPath(port int) string { return d.ports() + "/" + strconv.Itoa(port) }

// Release gives up this process's part in the port's lock. It may be called twice.
func (p *Port) Release() {
	if p.lock >= 0 {
		unlock(p.lock)
		p.lock = -1
	}
}
