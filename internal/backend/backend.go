// Package backend runs an inference server as a child that cannot outlive the program that started it.
//
// Between the two stands a guard, a process of the same program, which starts the server, waits for it, and ends all that
// came from it:
//
//	this program ──socket──► guard ──► server ──► its own children
//
// The kernel gives the guard every descendant whose parent has ended, whatever session it made for itself
// (PR_SET_CHILD_SUBREAPER(2const)), so nothing gets away by losing its parent. Who is killed is seen by somebody:
//
//   - This program: the socket ends, and the guard ends the server.
//   - The guard: the kernel kills the server (PR_SET_PDEATHSIG(2const)) and gives the rest to this program, which kills it.
//   - The server: the guard ends what it left behind and reports how it ended.
//
// Only Linux gives all of this. On other Unix systems the guard knows the server's process group and no more; on Windows
// nothing starts.
package backend

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Command is a server to start.
type Command struct {
	// Args is the argument vector, the program's name first.
	Args []string
	// Path is the file to execute.
	Path string
	// Env is the whole environment, as NAME=value. It is the guard's, too.
	Env []string
	// Guard is how this program is started so that it calls [Guard] with the arguments behind these.
	Guard []string
	// Grace is how long the server and its children may take to end before they are killed.
	Grace time.Duration
	// Output takes what the server prints. It inherits the file, so what it prints passes through nobody.
	Output *os.File
}

// Exit is how a server ended.
type Exit struct {
	// Code is the exit code, or -1 if a signal ended it.
	Code int `json:"code"`
	// Signal is the signal that ended it; 0 if none did.
	Signal syscall.Signal `json:"signal,omitempty"`
	// Killed is how many processes had to be killed behind the grace.
	Killed int `json:"killed,omitempty"`
	// Left is how many processes could not be ended at all.
	Left int `json:"left,omitempty"`
}

// String says it in words: "exited with code 3", "was ended by SIGKILL".
func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("was ended by signal %d (%s)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}

// ErrUnsupported is returned by [Start] on a system where no server can be kept.
var ErrUnsupported = errors.New("a backend needs Linux or another Unix")

// errGuard is why a server ended whose guard did.
var errGuard = errors.New("its guard was killed, and so was all that it guarded")

// report is what the guard tells, one JSON value after another: that the server was started, or why not, and how it ended.
type report struct {
	PID   int    `json:"pid,omitempty"`
	Error string `json:"error,omitempty"`
	Exit  *Exit  `json:"exit,omitempty"`
}
