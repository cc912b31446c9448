//go:build unix

package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// endCommand is what the guard is told to end the server; the end of the socket says the same.
const endCommand = "end\n"

// Backend is a server that was started.
type Backend struct {
	pid    int
	guard  *exec.Cmd
	socket *os.File // to the guard
	once   sync.Once
	done   chan struct{}
	exit   Exit
	err    error
}

// Start starts the server and returns when the kernel has loaded it. The error is [ErrUnsupported], or says why the guard or
// the server could not be started.
func Start(cmd Command) (*Backend, error) {
	if err := adopt(); err != nil {
		return nil, err
	}
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	b := &Backend{socket: ours, done: make(chan struct{})}
	args := append(cmd.Guard[1:len(cmd.Guard):len(cmd.Guard)], cmd.Grace.String(), cmd.Path)
	b.guard = exec.Command(cmd.Guard[0], append(args, cmd.Args...)...)
	b.guard.Env = append([]string{}, cmd.Env...) // nil would mean this process's own
	// The socket is the guard's stdin, because a number above would close what this process inherited under it.
	b.guard.Stdin, b.guard.Stdout, b.guard.Stderr = theirs, cmd.Output, cmd.Output
	b.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // or a terminal's Ctrl-C would reach it, too
	if err := b.guard.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	reports := json.NewDecoder(ours)
	var first report
	if err := reports.Decode(&first); err != nil || first.Error != "" {
		ours.Close()
		_ = b.guard.Wait()
		if first.Error != "" {
			return nil, errors.New(first.Error)
		}
		return nil, fmt.Errorf("the guard ended before it started the server: %s", b.guard.ProcessState)
	}
	b.pid = first.PID
	go b.wait(reports)
	return b, nil
}

// socketpair returns two connected files that no child inherits by accident.
func socketpair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
		err = syscall.SetNonblock(pair[0], true)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(pair[0]), "guard"), os.NewFile(uintptr(pair[1]), "guarded"), nil
}

// wait waits for the guard's last report, and does its work if there is none.
func (b *Backend) wait(reports *json.Decoder) {
	defer close(b.done)
	var last report
	err := reports.Decode(&last)
	b.socket.Close()
	_ = b.guard.Wait()
	if err == nil && last.Exit != nil {
		b.exit = *last.Exit
		return
	}
	b.exit = Exit{Code: 1}
	b.exit.Killed, b.exit.Left = newTree(os.Getpid(), b.pid).kill()
	b.err = errGuard
}

// PID returns the server's process id.
func (b *Backend) PID() int { return b.pid }

// End asks the server to end, and has it and all that came from it killed where they do not within the grace. It
// returns at once: [Backend.Done] tells when nothing is left.
func (b *Backend) End() {
	b.once.Do(func() {
		// A guard that does not take it within a moment is one that was stopped; what was closed, it reads when it goes on.
		_ = b.socket.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = b.socket.WriteString(endCommand)
	})
}

// Done is closed when the server and all that came from it have ended.
func (b *Backend) Done() <-chan struct{} { return b.done }

// Exit returns how the server ended, and why if it did not end by itself or by [Backend.End]. Call it only after Done is
// closed.
func (b *Backend) Exit() (Exit, error) { return b.exit, b.err }

// Owns reports whether each socket that listens on the TCP port, at an address where 127.0.0.1 reaches it, is the
// server's or a child's of its, and there is one. known is false where the system does not tell.
func (b *Backend) Owns(port int) (owns, known bool) {
	return newTree(b.guard.Process.Pid, 0).listens(port)
}
