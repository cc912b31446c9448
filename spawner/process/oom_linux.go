package process

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// OOMKilled reports whether the kernel ended the process because memory ran out, by what it has written into its log
// since the process was started and until it had ended. known is false if that does not tell: this user may not read the
// log, the log has forgotten that time, or this process sees other pids than the kernel. A SIGKILL alone says nothing: see
// also [Group.OOMKills].
func OOMKilled(id Identity, ended time.Time) (killed, known bool) {
	if !id.possible() || !initialPIDs() {
		return false, false
	}
	log, err := openRetry("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, false
	}
	defer closeFD(log)
	// The log has a clock of its own, which drifts from the others by less than this.
	const drift = 2 * time.Second
	from, to := sinceStart(id.startedAt())-drift, sinceStart(ended)+drift
	const most = 100_000 // records; the log holds fewer, unless it grows as fast as it is read
	buf := make([]byte, 8<<10)
	for range most {
		n, err := unix.Read(log, buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false, known
		case errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR): // overwritten before it was read
			continue
		case err != nil:
			return false, false
		}
		at, pid, ok := parseKernelRecord(buf[:n])
		known = known || at <= from
		if ok && pid == id.PID && at >= from && at <= to {
			return true, true
		}
	}
	return false, false
}

// parseKernelRecord returns the time of a record of /dev/kmsg since the boot, and which process it says was ended because
// memory ran out, if it is the kernel that says so: anybody who may write there can say anything, but not as the kernel.
// (See Documentation/ABI/testing/dev-kmsg of Linux: "priority,sequence,microseconds,flags;text".)
func parseKernelRecord(record []byte) (at time.Duration, pid int, ok bool) {
	head, text, found := bytes.Cut(record, []byte(";"))
	fields := bytes.Split(head, []byte(","))
	if !found || len(fields) < 3 {
		return 0, 0, false
	}
	priority, err1 := strconv.Atoi(string(fields[0]))
	micros, err2 := strconv.ParseInt(string(fields[2]), 10, 64)
	if err1 != nil || err2 != nil {
		return 0, 0, false
	}
	at = time.Duration(micros) * time.Microsecond
	text, _, _ = bytes.Cut(text, []byte("\n"))
	for _, reason := range []string{"Out of memory", "Memory cgroup out of memory"} {
		rest, is := bytes.CutPrefix(text, []byte(reason))
		_, rest, killed := bytes.Cut(rest, []byte(": Killed process "))
		number, _, named := bytes.Cut(rest, []byte(" ("))
		if !is || !killed || !named || priority>>3 != 0 {
			continue
		}
		pid, err := strconv.Atoi(string(number))
		return at, pid, err == nil
	}
	return at, 0, false
}

// sinceStart returns a moment on the clock that the kernel's log is written by.
func sinceStart(moment time.Time) time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano()) - time.Since(moment)
}

// initialPIDs reports whether pids here are those that the kernel itself uses.
func initialPIDs() bool {
	const initial = 0xEFFFFFFC // PROC_PID_INIT_INO, the inode of the first pid namespace since Linux 3.8
	var stat unix.Stat_t
	return unix.Stat("/proc/self/ns/pid", &stat) == nil && stat.Ino == initial
}
