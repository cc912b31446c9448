package process

import (
	"bytes"
	"os"
	"time"
)

// taskStat is what is needed of /proc/PID/stat (proc(5)) to know a process and what it uses.
type taskStat struct {
	state   byte
	kernel  bool // it is a thread of the kernel
	parent  int32
	session int32
	threads int
	ticks   uint64 // when it was started, in clock ticks since the boot
	cpu     uint64 // of its own and of the children that it has waited for, in clock ticks
	pages   uint64 // in memory
}

// ended reports whether nothing of the process runs any more. The state is that of its first thread: a program whose first
// thread has ended while others go on looks like a zombie and is none.
func (t *taskStat) ended() bool {
	return t.ticks == 0 || (t.state == 'Z' || t.state == 'X' || t.state == 'x') && t.threads <= 1
}

// stopped reports whether it was stopped and sees no signal but SIGKILL and SIGCONT.
func (t *taskStat) stopped() bool { return t.state == 'T' }

// readTask reads the process's stat by way of buf, which must have room for a line of it.
func readTask(pid int, buf []byte) (taskStat, error) {
	line, err := readOnce(procPath(pid, "/stat"), buf)
	if err != nil {
		return taskStat{}, err
	}
	return parseTask(line)
}

// parseTask reads a line of /proc/PID/stat. The name in it may hold spaces and parentheses, so the fields are counted
// behind its end.
func parseTask(line []byte) (taskStat, error) {
	// The numbers of the fields, as proc(5) counts them.
	const (
		state, parent, session, flags, utime, cstime, threads, start, rss = 3, 4, 6, 9, 14, 17, 20, 22, 24

		kernelThread = 0x00200000 // PF_KTHREAD
	)
	rest := line[bytes.LastIndexByte(line, ')')+1:]
	var t taskStat
	field := state
	for i := 0; i < len(rest) && field <= rss; field++ {
		for i < len(rest) && rest[i] == ' ' {
			i++
		}
		if field == state && i < len(rest) {
			t.state = rest[i]
		}
		var value uint64
		for ; i < len(rest) && rest[i] != ' ' && rest[i] != '\n'; i++ {
			if c := rest[i]; c >= '0' && c <= '9' {
				value = 10*value + uint64(c-'0')
			}
		}
		switch {
		case field == parent:
			t.parent = int32(value)
		case field == session:
			t.session = int32(value)
		case field == flags:
			t.kernel = value&kernelThread != 0
		case field >= utime && field <= cstime:
			t.cpu += value
		case field == threads:
			t.threads = int(value)
		case field == start:
			t.ticks = value
		case field == rss:
			t.pages = value
		}
	}
	if field <= rss {
		return taskStat{}, errStat
	}
	return t, nil
}

// taskName returns what the kernel calls the process: what is between the parentheses of its stat.
func taskName(line []byte) string {
	from, to := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if from < 0 || to < from {
		return ""
	}
	return string(line[from+1 : to])
}

var pageSize = int64(os.Getpagesize())

func ticksOf(ticks uint64) time.Duration { return time.Duration(ticks) * tick }
