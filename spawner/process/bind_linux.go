package process

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// bindable returns [ErrHeld] if a process listens on the port on any IPv4 address. The test binds without
// SO_REUSEPORT, so that it is refused also where the other party set it, and with SO_REUSEADDR, so that connections
// that ended a minute ago do not count.
func bindable(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Port: port})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("port %d: %w", port, ErrHeld)
	}
	return fmt.Errorf("port %d: %w", port, os.NewSyscallError("bind", err))
}
