package spawner

import (
	"sync"

	"github.com/rbee-keeper/hive/spawner/process"
)

// watchers owns the goroutines that wait for the ends of processes.
type watchers struct {
	mu      sync.Mutex
	closed  bool
	running map[*process.Process]struct{}
	wg      sync.WaitGroup
}

// watch calls ended in a goroutine once p has ended.
func (w *watchers) watch(p *process.Process, ended func(process.Exit)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		_ = p.Close()
		return
	}
	if w.running == nil {
		w.running = make(map[*process.Process]struct{})
	}
	w.running[p] = struct{}{}
	w.wg.Go(func() {
		exit, err := p.Wait()
		w.mu.Lock()
		delete(w.running, p)
		w.mu.Unlock()
		if err == nil {
			ended(exit)
		}
	})
}

// do runs f in a goroutine that close waits for.
func (w *watchers) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.wg.Go(f)
	}
}

// close ends every watch and waits for their goroutines.
func (w *watchers) close() {
	w.mu.Lock()
	w.closed = true
	for p := range w.running {
		_ = p.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
}
