package spawner

import (
	"sync"

	"github.com/rbee-keeper/hive/spawner/process"
)

// watched are the workers that this hive watches, and whose ends it has not written down yet.
type watched struct {
	mu    sync.Mutex
	under map[process.Identity]chan struct{} // each closed once the end is written down
}

// begin says that the end of the process will be written down; whoever has done so calls done.
func (w *watched) begin(id process.Identity) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.under == nil {
		w.under = make(map[process.Identity]chan struct{})
	}
	written := make(chan struct{})
	w.under[id] = written
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.under, id)
		close(written)
	}
}

// written returns what is closed once the end of the process is written down, or already, where that is not for this hive to do.
func (w *watched) written(id process.Identity) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if written, ok := w.under[id]; ok {
		return written
	}
	none := make(chan struct{})
	close(none)
	return none
}
