package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/rbee-keeper/hive/spawner/process"
)

// fewPorts is how many free ports are few: each worker takes one.
const fewPorts = 10

// ports examines the ports of workers whose job names none.
func (e examiner) ports(ctx context.Context) []Check {
	if e.Ports == (process.PortRange{}) {
		e.Ports = process.PortRange{First: 9001, Last: 9999}
	}
	return e.run(ctx, "ports",
		probe{name: "free", run: e.freePorts},
		probe{name: "ephemeral", run: func(context.Context) []Check { return e.ephemeral("/proc/sys/net/ipv4") }},
	)
}

// freePorts binds each port of the range, for as long as that takes, as a start does.
func (e examiner) freePorts(ctx context.Context) []Check {
	const wider = "widen --port-range (RBEE_PORT_RANGE), or end what holds the ports"
	free, denied, taken := 0, 0, 0
	for port := e.Ports.First; port <= e.Ports.Last; port++ {
		if err := ctx.Err(); err != nil {
			return fail("take a smaller --port-range (RBEE_PORT_RANGE), or give it longer with --timeout", "not known: only %d ports were tried in time", port-e.Ports.First)
		}
		switch err := process.Bindable(port); {
		case err == nil:
			free++
		case errors.Is(err, fs.ErrPermission):
			denied++
		case errors.Is(err, process.ErrHeld):
			if taken == 0 {
				taken = port
			}
		default:
			return failBy(err, wider)
		}
	}
	size := e.Ports.Last - e.Ports.First + 1
	switch {
	case free == 0 && denied > 0:
		return fail("use ports from 1024 on with --port-range (RBEE_PORT_RANGE)", "none of %s may be used: ports below 1024 need privileges", e.Ports)
	case free == 0:
		return fail(wider, "none of %d in %s is free; %s", size, e.Ports, holder(taken))
	case free < fewPorts:
		return warn(wider, "%d of %d in %s are free; each worker takes one", free, size, e.Ports)
	}
	return ok("%d of %d in %s are free", free, size, e.Ports)
}

// holder names who listens on a port, where that can be known.
func holder(port int) string {
	if held, known := process.Listener(port); known {
		return fmt.Sprintf("%d is held by %s (PID %d)", port, held.Name, held.PID)
	}
	return fmt.Sprintf("who holds %d is not known", port)
}

// ephemeral examines whether the kernel hands out ports of the range to outgoing connections. Dir is /proc/sys/net/ipv4.
func (e examiner) ephemeral(dir string) []Check {
	data, err := os.ReadFile(dir + "/ip_local_port_range")
	if err != nil {
		return ok("not known on this system")
	}
	var first, last int
	if _, err := fmt.Sscan(string(data), &first, &last); err != nil {
		return ok("not known: %q is no range", strings.TrimSpace(string(data)))
	}
	overlap := process.PortRange{First: max(first, e.Ports.First), Last: min(last, e.Ports.Last)}
	if overlap.First > overlap.Last {
		return ok("outgoing connections take %d-%d, which %s does not touch", first, last, e.Ports)
	}
	if reserved, err := os.ReadFile(dir + "/ip_local_reserved_ports"); err == nil && covers(string(reserved), overlap) {
		return ok("outgoing connections take %d-%d, and %s is reserved in it", first, last, overlap)
	}
	return warn(fmt.Sprintf("take another --port-range (RBEE_PORT_RANGE), or add %s to net.ipv4.ip_local_reserved_ports (sysctl)", overlap),
		"outgoing connections take %d-%d, which has %s in common with %s: a worker can find its port taken", first, last, overlap, e.Ports)
}

// covers reports whether the reserved ports, which are sorted and joined by commas, have all of ports in them.
func covers(reserved string, ports process.PortRange) bool {
	next := ports.First
	for part := range strings.SplitSeq(strings.TrimSpace(reserved), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil {
			return false
		}
		if first <= next && next <= last {
			next = last + 1
		}
	}
	return next > ports.Last
}
