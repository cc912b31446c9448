//go:build !linux

package process

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// bindable returns [ErrHeld] if a process listens on the port on any IPv4 address.
func bindable(port int) error {
	listener, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
	switch {
	case err == nil:
		return listener.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d: %w", port, ErrHeld)
	}
	return fmt.Errorf("port %d: %w", port, err)
}
