package queen

import (
	"context"
	"fmt"

	"github.com/rbee-keeper/hive/messages"
)

// waiter waits for one worker to report one status.
type waiter struct {
	id     string
	status messages.Status
	found  chan Worker // takes one
}

// Await returns the worker once it has the status: at once if its last heartbeat said so and is not stale, else with the
// next heartbeat that says so, however soon another follows. If ctx ends first, the error wraps that of ctx and says what
// the worker was instead, and the worker is returned as it is known.
func (r *Registry) Await(ctx context.Context, id string, status messages.Status) (Worker, error) {
	w := &waiter{id: id, status: status, found: make(chan Worker, 1)}
	if worker, ok := r.enlist(w); ok {
		return worker, nil
	}
	defer r.delist(w)
	select {
	case worker := <-w.found:
		return worker, nil
	case <-ctx.Done():
	}
	worker, known := r.Worker(id)
	if !known {
		return worker, fmt.Errorf("wait for worker %s to be %s: %w: it has not sent a heartbeat", id, status, ctx.Err())
	}
	return worker, fmt.Errorf("wait for worker %s to be %s: %w: it is %s", id, status, ctx.Err(), worker.State)
}

// enlist returns the worker if there is nothing to wait for; else w will be woken.
func (r *Registry) enlist(w *waiter) (Worker, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if worker, ok := r.find(w.id); ok && worker.State == State(w.status) {
		return worker, true
	}
	r.waiters[w] = struct{}{}
	return Worker{}, false
}

func (r *Registry) delist(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiters, w)
}

// wake hands the worker to whoever waited for its status. The lock is held, so that no status goes by unseen.
func (r *Registry) wake(worker Worker) {
	for w := range r.waiters {
		if w.id == worker.ID && w.status == worker.Status {
			w.found <- worker
			delete(r.waiters, w)
		}
	}
}
