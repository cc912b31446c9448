package process

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// names reports whether the worker's lock file says that leader is the process that was started last. Whoever starts the
// worker again takes the lock first, then writes something else into the file, then starts: as long as the file names the
// leader, nobody of a later start has the lock or the environment.
func (d *RunDir) names(worker string, leader Identity) bool {
	var rec struct {
		Process Started `json:"process"`
	}
	return d.ReadStarting(worker, &rec) == nil && rec.Process.Identity == leader
}

// holdsLock reports whether the process has inherited the lock that is in the file which stat tells. To have the file open
// is not enough, since whoever reads the worker's record has: the open file must be the very one that the lock is taken on
// (the kernel shows a lock in the fdinfo of that only), it must outlive an exec, unlike the copy in a child that a hive has
// forked and that has not executed its program yet, and another process must have taken the lock.
func holdsLock(pid int, file *unix.Stat_t, buf []byte) bool {
	dir, err := openRetry(procPath(pid, "/fd"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer closeFD(dir)
	holds, target := false, make([]byte, unix.PathMax)
	_ = eachNumber(dir, make([]byte, 8<<10), func(fd int) {
		name := strconv.Itoa(fd)
		// The text comes first, since to ask for a file on a dead network file system would never end.
		n, err := unix.Readlinkat(dir, name, target)
		holds = holds || err == nil && isLockPath(target[:n]) && sameFile(dir, name, file) && inheritedLock(pid, name, buf)
	})
	return holds
}

func isLockPath(path []byte) bool {
	return bytes.HasSuffix(bytes.TrimSuffix(path, []byte(" (deleted)")), []byte("/"+lockFile))
}

func sameFile(dir int, name string, file *unix.Stat_t) bool {
	var stat unix.Stat_t
	return unix.Fstatat(dir, name, &stat, 0) == nil && stat.Dev == file.Dev && stat.Ino == file.Ino
}

// inheritedLock reads /proc/PID/fdinfo/FD (proc_pid_fdinfo(5)).
func inheritedLock(pid int, fd string, buf []byte) bool {
	info, err := readFile(procPath(pid, "/fdinfo/"+fd), buf)
	if err != nil {
		return false
	}
	inherits, locked := false, false
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "flags:":
			flags, err := strconv.ParseUint(fields[1], 8, 64)
			inherits = err == nil && flags&unix.O_CLOEXEC == 0
		case len(fields) > 5 && fields[0] == "lock:" && fields[2] == "FLOCK":
			locked = fields[5] != strconv.Itoa(pid)
		}
	}
	return inherits && locked
}

// hasEntries reports whether the environment that the process was started with holds all the entries.
func hasEntries(pid int, entries []string, buf []byte) bool {
	buf[0] = 0 // before each entry and behind it
	env, err := readFile(procPath(pid, "/environ"), buf[1:])
	if err != nil {
		return false
	}
	for _, entry := range entries {
		if !bytes.Contains(buf[:1+len(env)], []byte("\x00"+entry+"\x00")) {
			return false
		}
	}
	return true
}

// sameUser reports whether the process belongs to the user that this one runs as.
func sameUser(pid int) bool {
	var stat unix.Stat_t
	return unix.Stat(procPath(pid, ""), &stat) == nil && int(stat.Uid) == os.Geteuid()
}
