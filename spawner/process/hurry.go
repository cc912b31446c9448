package process

import (
	"sync"
	"time"
)

// Hurry shortens the grace of an end that is under way: see [EndConfig.Hurry]. The zero value is ready for use, by any goroutine.
type Hurry struct {
	mu   sync.Mutex
	over time.Time // zero: nobody is in a hurry
	wake func()    // wakes up who waits; nil: nobody does
}

// By has the grace be over at that time at the latest. A time that is later than another before changes nothing.
func (h *Hurry) By(over time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over.IsZero() && !over.Before(h.over) {
		return
	}
	h.over = over
	if h.wake != nil {
		h.wake()
	}
}

// watch returns when the grace must be over, zero if nobody said so, and has wake be called once that becomes sooner. h may be nil.
func (h *Hurry) watch(wake func()) time.Time {
	if h == nil {
		return time.Time{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wake = wake
	return h.over
}
