package spawner

import (
	"sync"

	"github.com/rbee-keeper/hive/spawner/process"
)

// watched are the workers whose ends are waited for, and which live therefore: what sweeps the run directory need not look at
// them. The zero value is ready to be used.
type watched struct {
	mu      sync.Mutex
	workers map[string]int // how many processes; two if one was started while the end of the last was being written down
}

func (w *watched) add(worker string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.workers == nil {
		w.workers = make(map[string]int)
	}
	if w.workers[worker] += n; w.workers[worker] == 0 {
		delete(w.workers, worker)
	}
}

func (w *watched) has(worker string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.workers[worker] > 0
}

// observe has ended called when the worker's process has ended. Until that has returned, its record is not swept out.
func (s *Spawner) observe(p *process.Process, rec record, ended func(process.Exit)) {
	worker := rec.Result.WorkerID
	s.watched.add(worker, 1)
	s.watcher.Watch(p, func(exit process.Exit) {
		defer s.watched.add(worker, -1)
		ended(exit)
		s.groups.remove(worker)
	})
}
