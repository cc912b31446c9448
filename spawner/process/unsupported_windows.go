package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// errUnsupported is what a start answers on this system: it has neither inherited locks nor sessions.
var errUnsupported = fmt.Errorf("starting workers on Windows: %w", errors.ErrUnsupported)

// Claim is the right to start the processes of one worker.
type Claim struct{}

// Claim returns errors.ErrUnsupported.
func (d *RunDir) Claim(string) (*Claim, error) { return nil, errUnsupported }

// Fresh reports false.
func (c *Claim) Fresh() bool { return false }

// Prepare returns errors.ErrUnsupported.
func (c *Claim) Prepare([]byte) error { return errUnsupported }

// Commit returns errors.ErrUnsupported.
func (c *Claim) Commit(Started) error { return errUnsupported }

// Release does nothing.
func (c *Claim) Release() {}

// Replace returns errors.ErrUnsupported.
func (c *Claim) Replace(Started, []byte) error { return errUnsupported }

// Publish returns errors.ErrUnsupported.
func (d *RunDir) Publish(string) error { return errUnsupported }

// WriteStarted returns errors.ErrUnsupported.
func (d *RunDir) WriteStarted(string, Started, []byte) error { return errUnsupported }

// Remove returns errors.ErrUnsupported.
func (c *Claim) Remove() error { return errUnsupported }

// Abandon does nothing.
func (c *Claim) Abandon() {}

// Command is a process to start.
type Command struct {
	Path    string
	File    *os.File
	Args    []string
	Env     []string
	Dir     string
	LogPath string
	Group   *Group
}

// ExecutesFiles says that nothing is executed.
const ExecutesFiles = false

// Start returns errors.ErrUnsupported.
func Start(Command, *Claim, *Port) (*Process, error) { return nil, errUnsupported }

// Process is one process of a worker.
type Process struct {
	Started
	LogStart int64
}

// Signal returns 0.
func Signal(string) syscall.Signal { return 0 }

// Kill does nothing.
func (p *Process) Kill() {}

// Find returns [ErrGone].
func Find(Identity) (*Process, error) { return nil, ErrGone }

// FindHolder returns [ErrGone]: the system does not show what a process was started with.
func (d *RunDir) FindHolder(_, _ string, _ ...string) (Started, error) { return Started{}, ErrGone }

// Done returns nil, which is never ready.
func (p *Process) Done() <-chan struct{} { return nil }

// Exit returns the zero Exit.
func (p *Process) Exit() Exit { return Exit{} }

// Watcher watches nothing.
type Watcher struct{ wg sync.WaitGroup }

// NewWatcher returns a watcher.
func NewWatcher() *Watcher { return new(Watcher) }

// Watch does nothing: there are no processes.
func (w *Watcher) Watch(*Process, func(Exit)) {}

// Go runs f in a goroutine that Close waits for.
func (w *Watcher) Go(f func()) { w.wg.Go(f) }

// Close waits for the goroutines.
func (w *Watcher) Close() { w.wg.Wait() }

// Alive reports false.
func (id Identity) Alive() bool { return false }

// GivePort is not supported here.
func (d *RunDir) GivePort(int, Identity) error { return errUnsupported }

// PortOwner returns no process.
func (d *RunDir) PortOwner(int) Identity { return Identity{} }

func (d *RunDir) portOf(_, _ int) Identity { return Identity{} }

func lock(string) (int, error) { return -1, errUnsupported }

func unlock(int) {}

func checkPrivate(string) error { return nil }

func checkPrivateTo(string, int) error { return nil }

func ownerOf(string) int { return -1 }

func ready() error { return nil }

func readOwn(path string, _ int) ([]byte, error) { return os.ReadFile(path) }

func writeOwn(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }

// Stamp tells one version of a worker's record from every other.
type Stamp struct{}

// Stamp returns fs.ErrNotExist: there are no workers.
func (d *RunDir) Stamp(string) (Stamp, error) { return Stamp{}, fs.ErrNotExist }

// WorkersStamp returns fs.ErrNotExist.
func (d *RunDir) WorkersStamp() (Stamp, error) { return Stamp{}, fs.ErrNotExist }

// Settled reports false.
func (s Stamp) Settled() bool { return false }

// Held reports false: there are no workers.
func (d *RunDir) Held(string) (bool, error) { return false, nil }
