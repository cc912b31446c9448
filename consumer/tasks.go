package consumer

import (
	"sync"
	"sync/atomic"
)

// tasks are the goroutines that answer messages. One that has run a job before need not grow its stack again, so as many as
// there are slots rest until the next job.
type tasks struct {
	most  int64
	rests atomic.Int64 // those that rest or are about to
	next  chan func()  // what a resting one does next

	mu   sync.Mutex
	wg   sync.WaitGroup
	left bool
	quit chan struct{} // closed when left
}

func newTasks(most int) *tasks {
	return &tasks{most: int64(most), next: make(chan func()), quit: make(chan struct{})}
}

// do runs f in a goroutine that ended waits for, unless leave was called.
func (t *tasks) do(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left {
		return
	}
	select {
	case t.next <- f:
	default:
		t.wg.Go(func() { t.work(f) })
	}
}

func (t *tasks) work(f func()) {
	for {
		f()
		if t.rests.Add(1) > t.most {
			t.rests.Add(-1)
			return
		}
		select {
		case f = <-t.next:
			t.rests.Add(-1)
		case <-t.quit:
			return
		}
	}
}

// leave ends the goroutines that rest and lets no other begin.
func (t *tasks) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.left {
		t.left = true
		close(t.quit)
	}
}

// ended returns what is closed when all have ended. Call it after leave.
func (t *tasks) ended() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		t.wg.Wait()
		close(ended)
	}()
	return ended
}
