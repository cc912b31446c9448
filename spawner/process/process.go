// Package process starts workers' processes, watches them, and finds them again.
//
// Nothing about a worker is kept in memory that the hive would miss after a crash. What is true of a worker is held by
// the kernel and by one small directory per worker on a tmpfs:
//
//	<run-dir>/workers/<worker>/lock         held (flock) as long as a process of the worker lives; says what is being
//	                                        started and, after the start, which process it is
//	<run-dir>/workers/<worker>/worker.json  the worker's record: the same file under a second name, from the moment on that
//	                                        its job is answered
//	<run-dir>/workers/<worker>/exit.json    how it ended, once a hive has seen that
//	<run-dir>/workers/<worker>/failure.json how its job failed, where a process of it lives on
//	<run-dir>/ports/<port>                  held (flock) as long as a process has the port
//	<run-dir>/owner                         whose workers these are
//
// The open locks travel to the worker as inherited descriptors and the hive closes its own copies, so a lock is held
// exactly as long as the worker lives: no crash, of whichever party, leaves a stale one.
package process

import (
	"errors"
	"fmt"
	"time"
)

// ErrHeld is returned for a lock that a living process holds.
var ErrHeld = errors.New("held by a living process")

// ErrGone is returned for a process that is no longer the one that was meant: it ended, and its pid may belong to another.
var ErrGone = errors.New("the process has ended")

// Identity names one process for as long as the machine has been up, and beyond: a pid alone names another process once
// it is used again.
type Identity struct {
	// PID is the process id; 0 if the process has not been started yet.
	PID int `json:"pid"`
	// StartTicks is when the kernel started it, in clock ticks since the boot (proc(5), field 22 of stat); 0 where the
	// system does not tell.
	StartTicks uint64 `json:"start_ticks"`
	// BootID names the boot that the other two count from; empty where the system does not tell.
	BootID string `json:"boot_id"`
}

// Started is a process that was started: what a worker's record says of it under "process".
type Started struct {
	Identity
	// At is when it was started, on this machine's clock, in UTC.
	At time.Time `json:"started_at"`
}

// Exit says how a process ended.
type Exit struct {
	// Code is the exit code; -1 if a signal ended the process or the code is not known.
	Code int
	// Signal is the signal that ended the process, like "SIGKILL"; empty if none did.
	Signal string
	// Unknown says that the process was not a child of this one, so that the kernel tells only that it ended.
	Unknown bool
	// At is when the end was seen.
	At time.Time
}

// Clean reports whether the process ended as asked: exit code 0, or by SIGTERM or SIGINT.
func (e Exit) Clean() bool {
	return e.Code == 0 || e.Signal == "SIGTERM" || e.Signal == "SIGINT"
}

// String says how the process ended, as the end of a sentence about it.
func (e Exit) String() string {
	switch {
	case e.Unknown:
		return "ended"
	case e.Signal != "":
		return "was ended by " + e.Signal
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}
