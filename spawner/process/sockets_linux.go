package process

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// listener is called with a TCP port and the inode of a socket that listens on it.
type listener func(port int, inode uint64)

// eachListener calls with each TCP socket that listens in this process's network namespace. The kernel is asked for those
// alone (sock_diag(7)). The text of /proc/net/tcp has every connection in it and takes 1.5 ms on a machine that has none,
// since the whole table of connections is looked through; it is for kernels that answer nothing else.
func eachListener(with listener) {
	if askListeners(with) != nil {
		readListeners(with)
	}
}

// askListeners asks the kernel for the sockets. Before an error, with may have been called already.
func askListeners(with listener) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer closeFD(fd)
	// The answer is there when the question was taken, in pieces of which each is made when the one before is read.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	buf := make([]byte, 32<<10)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := unix.Sendto(fd, listenRequest(family), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return os.NewSyscallError("sendto", err)
		}
		for more := true; more; {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return os.NewSyscallError("recvfrom", err)
			}
			if more, err = parseListeners(buf[:n], with); err != nil {
				return err
			}
		}
	}
	return nil
}

// listenRequest returns the question for all listening TCP sockets of a family: struct nlmsghdr and struct
// inet_diag_req_v2.
func listenRequest(family byte) []byte {
	const size, states = unix.SizeofNlMsghdr + 56, unix.SizeofNlMsghdr + 4
	data := make([]byte, size)
	binary.NativeEndian.PutUint32(data, size)
	binary.NativeEndian.PutUint16(data[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(data[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	data[unix.SizeofNlMsghdr], data[unix.SizeofNlMsghdr+1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(data[states:], 1<<unix.BPF_TCP_LISTEN)
	return data
}

// parseListeners reads a piece of the answer, and reports whether another follows.
func parseListeners(data []byte, with listener) (more bool, err error) {
	// Where the fields of struct inet_diag_msg are.
	const port, inode, size = 4, 68, 72
	for len(data) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(data))
		if length < unix.SizeofNlMsghdr || length > len(data) {
			break
		}
		body := data[unix.SizeofNlMsghdr:length]
		switch kind := binary.NativeEndian.Uint16(data[4:]); {
		case kind == unix.NLMSG_DONE:
			return false, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			return false, fmt.Errorf("sock_diag: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
		case kind == unix.SOCK_DIAG_BY_FAMILY && len(body) >= size:
			with(int(binary.BigEndian.Uint16(body[port:])), uint64(binary.NativeEndian.Uint32(body[inode:])))
		}
		data = data[min((length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(data)):]
	}
	if len(data) > 0 {
		return false, errors.New("sock_diag: an answer is cut short")
	}
	return true, nil
}

// readListeners reads the sockets out of /proc/net (proc_pid_net(5)).
func readListeners(with listener) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			const local, state, inode, listen = 1, 3, 9, "0A"
			if len(fields) <= inode || fields[state] != listen {
				continue
			}
			_, number, _ := strings.Cut(fields[local], ":")
			port, portErr := strconv.ParseUint(number, 16, 16)
			socket, inodeErr := strconv.ParseUint(fields[inode], 10, 64)
			if portErr == nil && inodeErr == nil {
				with(int(port), socket)
			}
		}
		_ = file.Close()
	}
}
