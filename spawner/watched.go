package spawner

import (
	"sync"

	"github.com/rbee-keeper/hive/spawner/process"
)

// watched are the workers that this hive watches, and whose ends it has not written down yet. The zero value is ready to be used.
type watched struct {
	mu      sync.Mutex
	ends    map[process.Identity]chan struct{} // each closed once the end is written down
	workers map[string]int                     // how many processes of each; two if one was started while the end of the last is being written down
}

// begin says that the end of the worker's process will be written down; whoever has done so calls done.
func (w *watched) begin(worker string, id process.Identity) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ends == nil {
		w.ends, w.workers = make(map[process.Identity]chan struct{}), make(map[string]int)
	}
	written := make(chan struct{})
	w.ends[id] = written
	w.workers[worker]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.ends, id)
		if w.workers[worker]--; w.workers[worker] == 0 {
			delete(w.workers, worker)
		}
		close(written)
	}
}

// written returns what is closed once the end of the process is written down, or already, where that is not for this hive to do.
func (w *watched) written(id process.Identity) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if written, ok := w.ends[id]; ok {
		return written
	}
	none := make(chan struct{})
	close(none)
	return none
}

// has reports whether a process of the worker is watched: what sweeps the run directory need not look at it.
func (w *watched) has(worker string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.workers[worker] > 0
}

// observe writes down how the worker's process ends once it has, and then calls ended.
func (s *Spawner) observe(p *process.Process, rec record, ended func(process.Exit, end)) {
	worker := rec.Result.WorkerID
	written := s.watched.begin(worker, p.Identity)
	s.watcher.Watch(p, func(exit process.Exit) {
		end := s.keepEnd(rec, exit)
		written()
		ended(exit, end)
		s.groups.drop(rec.Job)
	})
}
