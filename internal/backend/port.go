package backend

import (
	"net"
	"strconv"
)

// FreePort returns a TCP port that could be bound on 127.0.0.1 a moment ago. Anybody may take it before the server does.
func FreePort() (int, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// Taken reports whether the port cannot be bound on 127.0.0.1.
func Taken(port int) bool {
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return true
	}
	return listener.Close() != nil
}
