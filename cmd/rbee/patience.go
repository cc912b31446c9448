package main

import (
	"context"
	"time"
)

// patience bounds how long a command waits for an answer, and can be put off: whoever promises that it will take longer is waited for.
type patience struct {
	limit time.Duration // how long is waited altogether
	began time.Time
	timer *time.Timer
}

// newPatience returns a context that ends, with [context.DeadlineExceeded] as its cause, when the patience does. Call stop when it is no
// longer needed.
func newPatience(ctx context.Context, limit time.Duration) (waiting context.Context, p *patience, stop func()) {
	waiting, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(context.DeadlineExceeded) })
	return waiting, &patience{limit: limit, began: time.Now(), timer: timer}, func() {
		timer.Stop()
		cancel(nil)
	}
}

// putOff has it end no sooner than this long from now.
func (p *patience) putOff(d time.Duration) {
	if limit := time.Since(p.began) + d; limit > p.limit && p.timer.Stop() {
		p.limit = limit
		p.timer.Reset(d)
	}
}
