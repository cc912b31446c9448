//go:build unix

package process

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Watcher waits for the ends of processes, and reaps those that were started by this one. It costs one goroutine, however
// many children it watches, and one more for each process that was found again: [Find] says why.
//
// A child that was not waited for keeps its pid, so no other process can be meant. The kernel sends SIGCHLD when one ends, and
// one signal may stand for many: then the watcher asks for each of its children, one short system call each, and for no other,
// so that whoever else starts processes here finds them unreaped.
type Watcher struct {
	signals chan os.Signal
	quit    chan struct{}

	mu       sync.Mutex
	closed   bool
	children map[int]watched // by pid
	found    map[*Process]struct{}
	wg       sync.WaitGroup
}

// watched is a child and whom to tell of its end.
type watched struct {
	*Process
	ended func(Exit)
}

// NewWatcher returns a watcher that watches nothing yet. Close ends it.
func NewWatcher() *Watcher {
	w := &Watcher{
		signals: make(chan os.Signal, 1), quit: make(chan struct{}),
		children: make(map[int]watched), found: make(map[*Process]struct{}),
	}
	signal.Notify(w.signals, syscall.SIGCHLD)
	w.wg.Go(w.run)
	return w
}

// Watch closes p.Done once p has ended, and then calls ended, in a goroutine of its own that Close waits for. It must be
// called once for each process. After Close it does nothing.
func (w *Watcher) Watch(p *Process, ended func(Exit)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		_ = p.handle.close()
	case p.child:
		c := watched{p, ended}
		w.children[p.PID] = c
		w.reap(c) // its signal may have come before
	default:
		w.found[p] = struct{}{}
		w.wg.Go(func() { w.await(p, ended) })
	}
}

// Go runs f in a goroutine that Close waits for. After Close it does nothing.
func (w *Watcher) Go(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.wg.Go(f)
	}
}

// Close ends every watch and waits for the goroutines; the processes go on.
func (w *Watcher) Close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		signal.Stop(w.signals)
		close(w.quit)
		for p := range w.found {
			_ = p.handle.close()
		}
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// run reaps children until Close.
func (w *Watcher) run() {
	for {
		select {
		case <-w.signals:
			w.mu.Lock()
			for _, c := range w.children {
				w.reap(c)
			}
			w.mu.Unlock()
		case <-w.quit:
			return
		}
	}
}

// reap frees what the kernel keeps of the child if it has ended. The caller holds w.mu.
func (w *Watcher) reap(c watched) {
	if w.closed {
		return
	}
	exit, ended := reap(c.PID)
	if !ended {
		return
	}
	delete(w.children, c.PID)
	c.settle(exit)
	w.wg.Go(func() { c.ended(c.Exit()) })
}

// await waits for a process that was found again.
func (w *Watcher) await(p *Process, ended func(Exit)) {
	exit, err := p.handle.wait(p.PID)
	w.mu.Lock()
	delete(w.found, p)
	w.mu.Unlock()
	if err != nil {
		return // closed
	}
	_ = p.handle.close()
	p.settle(exit)
	ended(p.Exit())
}

// reap returns how the child ended, or false if it has not. A process that is no child of this one any more has ended in a
// way that is not known.
func reap(pid int) (Exit, bool) {
	var status syscall.WaitStatus
	got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
	switch {
	case err == syscall.EINTR, err == nil && got == 0:
		return Exit{}, false
	case err != nil:
		return Exit{Code: -1, Unknown: true}, true
	case status.Signaled():
		return Exit{Code: -1, Signal: unix.SignalName(status.Signal())}, true
	}
	return Exit{Code: status.ExitStatus()}, true
}
