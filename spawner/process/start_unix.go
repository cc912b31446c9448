//go:build unix

package process

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/fault"
)

// Command is a process to start.
type Command struct {
	// Path is the absolute path of the file to execute, and the first entry of the argument vector.
	Path string
	// File is that file, open: where [ExecutesFiles] holds it is executed even if another lies at the path by then. Nil
	// means what lies at the path. It must be no script: its interpreter could not open it.
	File *os.File
	// Args is the argument vector behind the path.
	Args []string
	// Env is the whole environment, as NAME=value. Nothing is added to it: an empty one stays empty.
	Env []string
	// Dir is the working directory.
	Dir string
	// LogPath is the file that stdout and stderr are appended to; it is made where it is missing.
	LogPath string
	// Group is the control group that the process begins in; nil means that of this process.
	Group *Group
}

// Start starts the command in a session of its own, with an empty stdin, its output in the log file, and the locks of
// the claim and the port as inherited descriptors, and returns as soon as the kernel has loaded it. An error is
// fs.PathError for the log file, and the bare syscall.Errno of fork or exec otherwise.
//
// The caller must have a [Watcher] watch the process: a child that nobody waits for stays a zombie when it ends.
func Start(cmd Command, claim *Claim, port *Port) (*Process, error) {
	null, err := devNull()
	if err != nil {
		return nil, err
	}
	log, err := openRetry(cmd.LogPath, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: cmd.LogPath, Err: err}
	}
	defer closeFD(log)
	var stat unix.Stat_t
	if err := unix.Fstat(log, &stat); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: cmd.LogPath, Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &fs.PathError{Op: "open", Path: cmd.LogPath, Err: errors.New("it is no regular file")}
	}
	files := []uintptr{uintptr(null), uintptr(log), uintptr(log), uintptr(claim.lock), uintptr(port.lock)}
	path, executed, err := claim.run.executable(cmd, files)
	if err != nil {
		return nil, err
	}
	defer executed()
	fault.Point("process-opened")
	p := &Process{LogStart: stat.Size, Started: Started{At: time.Now().UTC()}, child: true, done: make(chan struct{})}
	err = p.forkExec(path, append([]string{cmd.Path}, cmd.Args...), &syscall.ProcAttr{
		Dir:   cmd.Dir,
		Env:   append(make([]string, 0, len(cmd.Env)), cmd.Env...), // nil would mean this process's own
		Files: files,
		Sys:   cmd.attributes(),
	})
	if err != nil {
		if stat.Size == 0 {
			_ = unix.Unlink(cmd.LogPath) // nothing was or will be written to it
		}
		return nil, err
	}
	fault.Point("process-forked")
	p.BootID = bootID()
	return p, nil
}

// devNull is the stdin of every worker, opened once.
var devNull = sync.OnceValues(func() (int, error) {
	fd, err := openRetry("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: "/dev/null", Err: err}
	}
	return fd, nil
})

// ready returns an error if what every start needs of the system cannot be had.
func ready() error {
	if _, err := devNull(); err != nil {
		return err
	}
	if runtime.GOOS == "linux" && bootID() == "" {
		return errors.New("/proc/sys/kernel/random/boot_id cannot be read: is /proc mounted?")
	}
	return nil
}

// Process is one process of a worker, started here or found again. A [Watcher] tells when it has ended.
type Process struct {
	// Started names the process and says when it was started.
	Started
	// LogStart is where the process's own output begins in its log, in bytes; 0 for a process that was found again.
	LogStart int64

	child  bool // it was started here
	handle handle
	done   chan struct{}
	exit   Exit
}

// Signal returns the signal with a name like "SIGTERM"; 0 if there is none.
func Signal(name string) syscall.Signal { return unix.SignalNum(name) }

// Kill kills the process, which must be a child of this one that nobody watches yet, and what it may have started.
func (p *Process) Kill() { _ = unix.Kill(-p.PID, unix.SIGKILL) }

// Done is closed when a [Watcher] has seen the process end.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit returns how the process ended. Call it only after Done is closed.
func (p *Process) Exit() Exit { return p.exit }

// settle says how the process ended, once.
func (p *Process) settle(exit Exit) {
	exit.At = time.Now()
	p.exit = exit
	close(p.done)
}
