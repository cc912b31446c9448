//go:build linux

package main

import (
	"errors"
	"net"
	"strconv"
)

// ports are the ports of one stage: those of its workers, those that a job may ask for, and the server's.
type ports struct {
	first, last int
	server      int
	lease       net.Listener
}

// squattable is how many ports a job may ask for.
const squattable = 4

// reserved returns one of the ports that a job may ask for, from 1; 0 for 0.
func (p ports) reserved(n int) int {
	if n == 0 {
		return 0
	}
	return p.last + n
}

// leasePorts returns ports that no other stage of this machine is given until the lease is closed. They lie above those that the
// kernel gives to clients, in blocks whose first port is the lease, as the end-to-end tests have it.
func leasePorts() (ports, error) {
	const low, high, block = 61_000, 65_500, 50
	for port := high - block; port >= low; port -= block {
		lease, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return ports{first: port + 1, last: port + block - 2 - squattable, server: port + block - 1, lease: lease}, nil
		}
	}
	return ports{}, errors.New("every port is leased")
}
