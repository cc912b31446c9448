// Package porttest gives a test TCP ports of its own.
package porttest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// The ports that are leased lie below and above those that Linux gives to clients and `rbee demo` takes, in blocks. The first port of a block
// is its lease: who listens on it has the others. So a lease holds between processes, ends with its process, and leaves nothing behind.
const (
	block            = 50
	low, lowBlocks   = 10_000, (20_000 - low) / block
	high, highBlocks = 61_000, (65_500 - high) / block
	blocks           = lowBlocks + highBlocks
)

// patience is how long a test waits for others to give their ports back.
const patience = 2 * time.Minute

var errLeased = errors.New("every port is leased by a test")

// Lease returns as many ports in a row, or more, that no other test of this machine is given until this one ends. Nobody listens on them, but on
// every 50th of more than 49, which a hive finds taken.
func Lease(tb testing.TB, ports int) (first, last int) {
	tb.Helper()
	first, last, release, err := LeaseUntil(ports)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(release)
	return first, last
}

// One is [Lease] for a single port: one on which nobody listens, or a server that the test ends and starts again.
func One(tb testing.TB) int {
	tb.Helper()
	port, _ := Lease(tb, 1)
	return port
}

// LeaseUntil is [Lease] for who has no [testing.TB]: the ports are leased until release is called.
func LeaseUntil(ports int) (first, last int, release func(), err error) {
	for late := time.Now().Add(patience); ; {
		if first, last, release, err = lease(ports); err == nil || time.Now().After(late) {
			return first, last, release, err
		}
		<-time.After(10 * time.Millisecond)
	}
}

// lease looks for enough free blocks in a row, from any of them on, so that ports rest between two tests.
func lease(ports int) (first, last int, release func(), err error) {
	want := (ports + block - 2) / (block - 1)
	var leases []net.Listener
	release = func() {
		for _, lease := range leases {
			_ = lease.Close()
		}
		leases = nil
	}
	begin := rand.IntN(blocks)
	for i := range 2 * blocks {
		at := (begin + i) % blocks
		if at == 0 || at == lowBlocks {
			release() // it is no neighbour of the block before it
		}
		port := low + at*block
		if at >= lowBlocks {
			port = high + (at-lowBlocks)*block
		}
		lease, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			release()
			continue
		}
		leases = append(leases, lease)
		switch {
		case !free(port+1, port+block-1):
			release()
		case len(leases) == want:
			return port - (want-1)*block + 1, port + block - 1, release, nil
		}
	}
	release()
	return 0, 0, nil, errLeased
}

// free reports whether nobody listens on any of the ports: what is no test of ours asks for no lease. Nobody is forked meanwhile, who would
// have copies of what it listens on until it executes its program.
func free(first, last int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for port := first; port <= last; port++ {
		listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			return false
		}
		_ = listener.Close()
	}
	return true
}
