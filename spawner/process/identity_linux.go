package process

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var bootID = sync.OnceValue(func() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
})

// Alive reports whether the very process that id names still runs. A process that ended and was not yet waited for does
// not run. One that cannot be looked at now, as without a free descriptor, counts as alive while the system knows this user's process
// with that pid: who is told dead is told so for good. Where /proc shows nothing of it, it must lead a session, too, as workers do:
// one that made itself undumpable is hidden by hidepid= from its own user (proc(5)).
func (id Identity) Alive() bool {
	if id.PID <= 1 || id.BootID != bootID() {
		return false
	}
	stat, err := readStat(id.PID)
	if err != nil {
		hidden := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
		return unix.Kill(id.PID, 0) == nil && (!hidden || leadsSession(id.PID))
	}
	return stat.ticks == id.StartTicks && stat.state != 'Z' && stat.state != 'X'
}

// MayLive reports whether a process with this pid leads a session, as each worker's does: whether it is worth asking whether the very
// process is alive, for a tenth of what that costs.
func (id Identity) MayLive() bool { return id.possible() && leadsSession(id.PID) }

func leadsSession(pid int) bool {
	session, err := unix.Getsid(pid)
	return err == nil && session == pid
}

// FindHolder looks through /proc, once, for the process that was started with all the entries, NAME=value, in its environment and has the
// worker's lock or its log open, or whose output is the log: a program that rewrites its title hides its environment. It is for the one
// case that no record covers, a hive that was killed right behind the start: a full look costs 30 ms and more. The error is [ErrGone] if
// there is none.
func (d *RunDir) FindHolder(worker, log string, entries ...string) (Started, error) {
	files := map[string]bool{d.lockPath(worker): true, log: true}
	for _, pid := range pids() {
		if pid == os.Getpid() || !printsTo(pid, log) && (!hasEnv(pid, entries) || !hasFile(pid, files)) {
			continue
		}
		id := Identity{PID: pid, BootID: bootID()}
		var err error
		if id.StartTicks, err = startTicks(pid); err == nil && id.Alive() {
			return Started{Identity: id, At: id.startedAt()}, nil
		}
	}
	return Started{}, ErrGone
}

// printsTo reports whether the stdout or the stderr of the process is the file.
func printsTo(pid int, path string) bool {
	for _, fd := range []string{"/fd/1", "/fd/2"} {
		if target, err := os.Readlink(procPath(pid, fd)); err == nil && target == path {
			return true
		}
	}
	return false
}

// hasEnv reports whether the environment that the process was started with holds all the entries.
func hasEnv(pid int, entries []string) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(entries, func(entry string) bool {
		return !bytes.Contains(append([]byte{0}, data...), []byte("\x00"+entry+"\x00"))
	})
}

// ticksBetween returns the start time of a process that was started between two moments since the boot, as the kernel
// counts it (proc(5)), or false if they lie on both sides of a tick: then only the kernel knows. To ask it costs as much as
// all other files of a start together.
func ticksBetween(before, after time.Duration) (uint64, bool) {
	return uint64(before / tick), before > 0 && before/tick == after/tick
}

// sinceBoot returns how long the machine has been up, as the start times of processes count it.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// tick is the unit of start times: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

func startTicks(pid int) (uint64, error) {
	stat, err := readStat(pid)
	return stat.ticks, err
}

// procStat is what is needed of /proc/PID/stat (proc(5)).
type procStat struct {
	state   byte
	parent  int
	session int
	ticks   uint64
}

var errStat = errors.New("/proc/PID/stat is not as expected")

// readStat reads /proc/PID/stat. The name in it may hold spaces and parentheses, so the fields are counted from its end.
func readStat(pid int) (procStat, error) {
	fd, err := openRetry("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return procStat{}, os.NewSyscallError("open", err)
	}
	defer closeFD(fd)
	var buf [1024]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return procStat{}, os.NewSyscallError("read", err)
	}
	fields := bytes.Fields(buf[bytes.LastIndexByte(buf[:n], ')')+1 : n])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return procStat{}, errStat
	}
	stat := procStat{state: fields[0][0]}
	var errs [3]error
	stat.parent, errs[0] = strconv.Atoi(string(fields[1]))
	stat.session, errs[1] = strconv.Atoi(string(fields[3]))
	stat.ticks, errs[2] = strconv.ParseUint(string(fields[19]), 10, 64)
	return stat, errors.Join(errs[:]...)
}
