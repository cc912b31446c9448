//go:build unix

package backend

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// Guard is the whole of a guard: it starts the server that args name, waits for it, and ends all that came from it. The
// process ends with what it returns. Its stdin is the socket to whoever started it.
func Guard(args []string) int {
	// The kernel kills the server when the thread that started it ends, not the process: this one ends with the process.
	runtime.LockOSThread()
	g := &guard{
		reports: json.NewEncoder(os.Stdin),
		told:    make(chan struct{}),
		signals: make(chan os.Signal, 16),
		changed: make(chan os.Signal, 1),
	}
	signal.Notify(g.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	signal.Notify(g.changed, syscall.SIGCHLD)
	if err := g.start(args); err != nil {
		_ = g.reports.Encode(report{Error: err.Error()})
		return 1
	}
	_ = g.reports.Encode(report{PID: g.server.Process.Pid}) // who does not read it has ended, which comes next
	go g.listen()
	exit := g.keep()
	_ = g.reports.Encode(report{Exit: &exit})
	return 0
}

type guard struct {
	grace   time.Duration
	server  *exec.Cmd
	ended   chan struct{} // closed when the server has
	reports *json.Encoder
	told    chan struct{}  // closed when the server is to end
	signals chan os.Signal // that say the same
	changed chan os.Signal // a child has ended
}

// start starts the server: args are the grace, its file and its argument vector.
func (g *guard) start(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("a guard is started by its worker, not by hand")
	}
	var err error
	if g.grace, err = time.ParseDuration(args[0]); err != nil {
		return fmt.Errorf("grace of the guard: %w", err)
	}
	if err := adopt(); err != nil {
		return err
	}
	g.server = &exec.Cmd{Path: args[1], Args: args[2:], Stdout: os.Stdout, Stderr: os.Stderr, SysProcAttr: serverAttributes()}
	if err := g.server.Start(); err != nil {
		return err
	}
	g.ended = make(chan struct{})
	go func() {
		defer close(g.ended)
		_ = g.server.Wait() // the code is in ProcessState
	}()
	return nil
}

// listen waits until the socket says that the server is to end, or ends itself.
func (g *guard) listen() {
	defer close(g.told)
	_, _ = io.ReadFull(os.Stdin, make([]byte, len(endCommand)))
}

// keep waits for the server, ends what came from it, and returns how the server ended.
func (g *guard) keep() Exit {
	tree := newTree(os.Getpid(), g.server.Process.Pid)
	for waiting := true; waiting; {
		select {
		case <-g.ended:
			waiting = false
		case <-g.told:
			waiting = false
		case <-g.signals:
			waiting = false
		case <-g.changed: // a child of the server's that has lost its parent
			tree.reap()
		}
	}
	g.ask(tree)
	killed, left := tree.kill()
	exit := g.exit()
	exit.Killed, exit.Left = killed, left
	return exit
}

// ask asks the server to end, and its children once it has or half the grace is over, since most servers end their own, and
// returns when nothing is left or the grace is over.
func (g *guard) ask(tree *tree) {
	now := time.Now()
	half, over := now.Add(g.grace/2), now.Add(g.grace)
	select {
	case <-g.ended:
	default:
		_ = g.server.Process.Signal(syscall.SIGTERM)
		timer := time.NewTimer(time.Until(half))
		defer timer.Stop()
		for running := true; running; {
			select {
			case <-g.ended:
				running = false
			case <-timer.C:
				running = false
			case <-g.changed:
				tree.reap()
			}
		}
	}
	tree.end(syscall.SIGTERM, over)
}

func (g *guard) exit() Exit {
	select {
	case <-g.ended:
	case <-time.After(time.Second): // it cannot be killed
		return Exit{Code: 1}
	}
	status, ok := g.server.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return Exit{Code: -1, Signal: status.Signal()}
	}
	return Exit{Code: g.server.ProcessState.ExitCode()}
}
