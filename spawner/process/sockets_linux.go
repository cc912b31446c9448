package process

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// listener is called with a TCP port and the inode of a socket that listens on it, and whether a connection to 127.0.0.1 can reach that.
type listener func(port int, inode uint64, reached bool)

// eachListener calls with each TCP socket that listens in this process's network namespace, or with those on one port if it is not
// 0. The kernel is asked for those alone (sock_diag(7)). The text of /proc/net/tcp has every connection in it and takes 1.5 ms on a
// machine that has none, since the whole table of connections is looked through; it is for kernels that answer nothing else.
func eachListener(on int, with listener) {
	if askListeners(on, with) != nil {
		readListeners(func(port int, inode uint64, reached bool) {
			if on == 0 || on == port {
				with(port, inode, reached)
			}
		})
	}
}

// askListeners asks the kernel for the sockets. Before an error, with may have been called already.
func askListeners(on int, with listener) error {
	fd, err := openDiag()
	if err != nil {
		return err
	}
	defer closeFD(fd)
	buf := make([]byte, 32<<10)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := askDiag(fd, listenRequest(family, on, unix.NLM_F_DUMP), buf, with); err != nil {
			return err
		}
	}
	return nil
}

// askListener asks the kernel for the socket that a connection to the port of 127.0.0.1 would reach: a look at one place of a table
// where all others look through the whole of it. There may be further ones. None is returned if it cannot be known.
func askListener(port int) (inode uint64, ok bool) {
	fd, err := openDiag()
	if err != nil {
		return 0, false
	}
	defer closeFD(fd)
	err = askDiag(fd, listenRequest(unix.AF_INET, port, 0), make([]byte, 512), func(on int, socket uint64, _ bool) {
		if on == port {
			inode, ok = socket, true
		}
	})
	return inode, ok && err == nil
}

func openDiag() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	// The answer is there when the question was taken, in pieces of which each is made when the one before is read.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		closeFD(fd)
		return -1, os.NewSyscallError("setsockopt", err)
	}
	return fd, nil
}

// askDiag asks one question and reads the answer by way of buf.
func askDiag(fd int, request, buf []byte, with listener) error {
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	for more := true; more; {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("read", err)
		}
		if more, err = parseListeners(buf[:n], with); err != nil {
			return err
		}
	}
	return nil
}

// listenRequest returns the question for the listening TCP sockets of a family, or for those on one port if it is not 0: struct
// nlmsghdr and struct inet_diag_req_v2. Without NLM_F_DUMP among the flags, it is that for the one socket that a connection to the
// port of 127.0.0.1 reaches.
func listenRequest(family byte, port int, flags uint16) []byte {
	const (
		size   = unix.SizeofNlMsghdr + 56
		states = unix.SizeofNlMsghdr + 4
		source = states + 4    // its port
		local  = source + 4    // its address
		cookie = source + 10*4 // of the socket
	)
	data := make([]byte, size)
	binary.NativeEndian.PutUint32(data, size)
	binary.NativeEndian.PutUint16(data[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(data[6:], unix.NLM_F_REQUEST|flags)
	data[unix.SizeofNlMsghdr], data[unix.SizeofNlMsghdr+1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(data[states:], 1<<unix.BPF_TCP_LISTEN)
	binary.BigEndian.PutUint16(data[source:], uint16(port))
	if flags&unix.NLM_F_DUMP == 0 {
		copy(data[local:], []byte{127, 0, 0, 1})
		binary.NativeEndian.PutUint64(data[cookie:], 1<<64-1) // INET_DIAG_NOCOOKIE: whatever it is
	}
	return data
}

// parseListeners reads a piece of the answer, and reports whether another follows.
func parseListeners(data []byte, with listener) (more bool, err error) {
	// Where the fields of struct inet_diag_msg are.
	const port, address, inode, size = 4, 8, 68, 72
	for len(data) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(data))
		if length < unix.SizeofNlMsghdr || length > len(data) {
			break
		}
		body := data[unix.SizeofNlMsghdr:length]
		several := binary.NativeEndian.Uint16(data[6:])&unix.NLM_F_MULTI != 0
		switch kind := binary.NativeEndian.Uint16(data[4:]); {
		case (kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR) && len(body) >= 4:
			if code := int32(binary.NativeEndian.Uint32(body)); code < 0 {
				return false, fmt.Errorf("sock_diag: %w", unix.Errno(-code))
			}
			return false, nil
		case kind == unix.NLMSG_DONE:
			return false, nil
		case kind == unix.SOCK_DIAG_BY_FAMILY && len(body) >= size:
			at := body[address : address+net.IPv6len]
			if body[0] == unix.AF_INET {
				at = at[:net.IPv4len]
			}
			with(int(binary.BigEndian.Uint16(body[port:])), uint64(binary.NativeEndian.Uint32(body[inode:])), isReached(at) && !onlySix(body[size:]))
			if !several {
				return false, nil
			}
		}
		data = data[min((length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(data)):]
	}
	if len(data) > 0 {
		return false, errors.New("sock_diag: an answer is cut short")
	}
	return true, nil
}

// isReached reports whether a connection to 127.0.0.1 reaches a socket at the address, which one of IPv6 does if it is every address,
// unless the socket takes IPv6 alone, or one of IPv4 written as one of IPv6.
func isReached(address []byte) bool {
	ip := net.IP(address)
	return ip.IsUnspecified() || ip.Equal(net.IPv4(127, 0, 0, 1))
}

// onlySix looks through the attributes behind a struct inet_diag_msg, and reports whether the socket takes IPv6 alone (IPV6_V6ONLY).
func onlySix(attributes []byte) bool {
	const header, only = unix.SizeofNlAttr, 11 // INET_DIAG_SKV6ONLY
	for len(attributes) >= header {
		length := int(binary.NativeEndian.Uint16(attributes))
		if length < header || length > len(attributes) {
			return false
		}
		if binary.NativeEndian.Uint16(attributes[2:]) == only {
			return length > header && attributes[header] != 0
		}
		attributes = attributes[min((length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(attributes)):]
	}
	return false
}

// readListeners reads the sockets out of /proc/net (proc_pid_net(5)), which does not tell who takes IPv6 alone.
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
			address, number, _ := strings.Cut(fields[local], ":")
			port, portErr := strconv.ParseUint(number, 16, 16)
			socket, inodeErr := strconv.ParseUint(fields[inode], 10, 64)
			if portErr == nil && inodeErr == nil {
				with(int(port), socket, isReached(addressOf(address)))
			}
		}
		_ = file.Close()
	}
}

// addressOf reads an address as /proc/net has it: words of 32 bits in the machine's order of bytes, in hexadecimal.
func addressOf(text string) []byte {
	address, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	for word := address; len(word) >= 4; word = word[4:] {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	return address
}
