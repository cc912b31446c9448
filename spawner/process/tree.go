package process

import (
	"fmt"
	"syscall"
	"time"
)

// Tree names the processes of one worker by what its record says: the process that was started and all that came from it.
// See [RunDir.Members] for who belongs to it.
type Tree struct {
	// Leader is the process that was started. It leads a session of its own.
	Leader Identity
	// Worker is the worker's id, the name of its directory below the run directory. Required.
	Worker string
	// Env holds entries, NAME=value, that together nobody but the worker was started with. A descendant that has left
	// its parents, its session and its lock behind is known by having all of them. Empty means that none is looked for.
	Env []string
	// Port is the TCP port that must be free behind the end; 0 means none.
	Port int
	// Group is the control group that the worker was started in; nil means none.
	Group *Group
}

// EndConfig says how a worker is ended.
type EndConfig struct {
	// Signal asks the processes to end; 0 means SIGTERM. SIGKILL leaves out the asking.
	Signal syscall.Signal
	// Grace is how long they may take before SIGKILL; 0 means [DefaultGrace], and a negative one no time at all.
	Grace time.Duration
	// Tell is told each time that a signal has been sent: its name, as "SIGTERM", and to how many processes. nil means
	// nobody is. It is called in the goroutine of [RunDir.End].
	Tell func(signal string, processes int)
	// Hurry can make the grace shorter while it passes; nil means that nobody can.
	Hurry *Hurry
	// Hurried is told each time that Hurry did, and how much of the grace is left. nil means nobody is. It is called as Tell is.
	Hurried func(left time.Duration)
}

// DefaultGrace is how long a worker may take to end before it is killed, unless its manifest or the hive says otherwise.
const DefaultGrace = 10 * time.Second

func (c EndConfig) withDefaults() EndConfig {
	if c.Signal == 0 {
		c.Signal = syscall.SIGTERM
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Grace < 0 || c.Signal == syscall.SIGKILL {
		c.Grace = 0
	}
	if c.Tell == nil {
		c.Tell = func(string, int) {}
	}
	if c.Hurried == nil {
		c.Hurried = func(time.Duration) {}
	}
	return c
}

// Ending says what it took to end a worker.
type Ending struct {
	// Signal is the strongest signal that was needed: the one that asks, as "SIGTERM", or "SIGKILL".
	Signal string
	// Processes is how many processes of the worker were there and have ended. Two ends of one worker at once each count
	// all that they saw.
	Processes int
	// Took is the time from the call to the moment when everything was gone.
	Took time.Duration
	// PortHeld says that the worker is gone and its port cannot be bound all the same: another process has taken it, or
	// the kernel keeps it for connections of the worker, for up to a minute.
	PortHeld bool
	// PortHolder is the process that has the port, if there is one and it can be known; its PID is 0 otherwise.
	PortHolder Holder
}

// StuckError is returned for a worker one of whose processes lives on behind SIGKILL.
type StuckError struct {
	// PID is the process id.
	PID int
	// Name is what the kernel calls the process, at most 15 bytes.
	Name string
	// State is the letter of its state (proc(5)): "D" is an uninterruptible sleep, in which no signal arrives.
	State string
	// More is how many further processes of the worker live.
	More int
	// Err is why the signal could not be sent, as EPERM for the process of another user; nil if it was sent.
	Err error
}

// Error says what to look at.
func (e *StuckError) Error() string {
	text := fmt.Sprintf("process %d (%s) lives on behind SIGKILL in state %s", e.PID, e.Name, e.State)
	switch {
	case e.Err != nil:
		text = fmt.Sprintf("process %d (%s, state %s) cannot be killed: %v", e.PID, e.Name, e.State, e.Err)
	case e.State == "D":
		text += fmt.Sprintf(", where no signal arrives: see /proc/%d/stack and the kernel's log for what it waits for", e.PID)
	}
	if e.More > 0 {
		text += fmt.Sprintf("; and %d more of the worker", e.More)
	}
	return text
}

// Unwrap returns Err.
func (e *StuckError) Unwrap() error { return e.Err }

// Usage is what the processes of a worker use.
type Usage struct {
	// RSS is the memory that they have in use, in bytes: the sum of what each has. A page that several of them share
	// counts once for each.
	RSS int64
	// CPU is the time that they and those of their children that have ended have spent on processors.
	CPU time.Duration
	// Threads is how many threads they have.
	Threads int
	// Processes is how many they are.
	Processes int
}
