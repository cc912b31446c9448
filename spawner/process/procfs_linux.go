package process

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// eachNumber calls with each entry of the directory whose name is a number.
func eachNumber(dir int, buf []byte, with func(int)) error {
	for {
		n, err := unix.Getdents(dir, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("getdents", err)
		}
		if n == 0 {
			return nil
		}
		const reclen, name = 16, 19 // of struct linux_dirent64
		for left := buf[:n]; len(left) > name; {
			entry := left[:binary.NativeEndian.Uint16(left[reclen:])]
			left = left[len(entry):]
			if number, _ := leadingNumber(entry[name:]); number >= 0 {
				with(number)
			}
		}
	}
}

// leadingNumber returns the number before the first zero byte, and -1 if something else is there.
func leadingNumber(text []byte) (number, length int) {
	for i, c := range text {
		if c == 0 && i > 0 {
			return number, i
		}
		if c < '0' || c > '9' {
			return -1, i
		}
		number = 10*number + int(c-'0')
	}
	return -1, len(text)
}

// readFile reads a file of /proc into buf, as far as that reaches.
func readFile(path string, buf []byte) ([]byte, error) {
	fd, err := openRetry(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	defer closeFD(fd)
	for filled := 0; ; {
		n, err := unix.Read(fd, buf[filled:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("read", err)
		}
		if filled += n; n == 0 || filled == len(buf) {
			return buf[:filled], nil
		}
	}
}

// readOnce reads a file of /proc that the kernel gives out in one piece.
func readOnce(path string, buf []byte) ([]byte, error) {
	fd, err := openRetry(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	defer closeFD(fd)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return nil, os.NewSyscallError("read", err)
	}
	return buf[:n], nil
}

func procPath(pid int, file string) string { return "/proc/" + strconv.Itoa(pid) + file }
