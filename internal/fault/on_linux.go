//go:build chaos

package fault

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Point strikes the process if this is the passing that is armed, and traces it if it is to be traced.
func Point(name string) {
	if file := trace(); file != nil {
		var now unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
		fmt.Fprintf(file, "%s %d\n", name, now.Nano())
	}
	if a := armed(); a.point == name && passings.Add(1) == a.passing {
		strike(a.signal)
	}
}

// strike returns only if the process was stopped and told to go on. The signal goes to this very thread, which runs no further:
// one that is sent to the process may be taken by another.
func strike(signal unix.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), signal)
}

type arm struct {
	point   string
	passing int64
	signal  unix.Signal
}

var (
	passings atomic.Int64 // of the armed point
	armed    = sync.OnceValue(func() arm { return parse(os.Getenv(Variable)) })
	trace    = sync.OnceValue(func() *os.File {
		path := os.Getenv(TraceVariable)
		if path == "" {
			return nil
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_CLOEXEC, 0o600)
		if err != nil {
			panic(err)
		}
		return file
	})
)

// parse reads what is armed. A point that the harness cannot have meant is a mistake in the harness.
func parse(text string) arm {
	text, stop := strings.CutSuffix(text, ":stop")
	point, count, counted := strings.Cut(text, ":")
	a := arm{point: point, passing: 1, signal: unix.SIGKILL}
	if stop {
		a.signal = unix.SIGSTOP
	}
	if counted {
		var err error
		if a.passing, err = strconv.ParseInt(count, 10, 64); err != nil || a.passing < 1 {
			panic(fmt.Sprintf("%s: %q is no count of passings", Variable, count))
		}
	}
	return a
}
