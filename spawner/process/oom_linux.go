package process

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// OOMKilled reports whether the kernel ended the process because memory ran out, by what it has written into its log
// since the process was started and until it had ended. known is false if that does not tell: this user may not read the
// log, the log has forgotten that time, or this process sees other pids than the kernel. A SIGKILL alone says nothing.
func OOMKilled(id Identity, ended time.Time) (killed, known bool) {
	if !id.possible() || !initialPIDs() {
		return false, false
	}
	// The log has a clock of its own, which drifts from the others by less than this.
	const drift = 2 * time.Second
	return kernel.told(ended).killed(id.PID, sinceStart(id.startedAt())-drift, sinceStart(ended)+drift)
}

// kernel is the log of the kernel that this machine runs.
var kernel = kernelLog{read: readKills}

// kernelLog shares what was read of the kernel's log among all who ask about an end before that: the whole of it is read each time,
// and hundreds of workers may end at once.
type kernelLog struct {
	read func() kills

	mu    sync.Mutex
	began time.Time // when the last read began
	last  kills
}

// told returns what the log says, read after the process in question had ended: the kernel writes before it kills.
func (k *kernelLog) told(ended time.Time) kills {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.began.IsZero() || k.began.Before(ended) {
		k.began = time.Now()
		k.last = k.read()
	}
	return k.last
}

// kills are the processes that the kernel says to have ended because memory ran out.
type kills struct {
	all   []kill
	since time.Duration // of the oldest record of the log, since the boot
	whole bool          // the log was read to its end
}

type kill struct {
	at  time.Duration // since the boot
	pid int
}

// killed reports whether the process was killed between the two moments since the boot, and whether the log goes back that far.
func (k kills) killed(pid int, from, to time.Duration) (killed, known bool) {
	if slices.ContainsFunc(k.all, func(one kill) bool { return one.pid == pid && one.at >= from && one.at <= to }) {
		return true, true
	}
	return false, k.whole && k.since <= from
}

// readKills reads the whole log.
func readKills() kills {
	told := kills{since: math.MaxInt64}
	log, err := openRetry("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return told
	}
	defer closeFD(log)
	const most = 100_000 // records; the log holds fewer, unless it grows as fast as it is read
	buf := make([]byte, 8<<10)
	for range most {
		n, err := unix.Read(log, buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			told.whole = true
			return told
		case errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR): // overwritten before it was read
			continue
		case err != nil:
			return told
		}
		at, pid, ok := parseKernelRecord(buf[:n])
		told.since = min(told.since, at)
		if ok {
			told.all = append(told.all, kill{at, pid})
		}
	}
	return told
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
