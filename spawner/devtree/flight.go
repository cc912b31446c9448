package devtree

import (
	"context"
	"fmt"
	"runtime/debug"
)

// flight is one build and those who wait for it.
type flight struct {
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it has ended; err is set then
	err    error

	// The updater's mutex guards these.
	waiters map[*waiter]struct{}
	saw     bool // the build looks at no input any more: who comes now is not covered
}

// waiter is one who waits for a flight.
type waiter struct {
	steps   chan Step
	dropped int // steps that found no room; read it once the flight has ended
	covered bool
}

// join waits for the build of the source, beginning one unless one is at work, and reports whether that covers what was saved
// before join was called.
func (u *Updater) join(ctx context.Context, s *source, profile string, tell func(Step)) (covered bool, err error) {
	f, w, first, err := u.board(s, profile)
	if err != nil {
		return true, err
	}
	if !first {
		tell(Step{Kind: Waiting, Text: "another job has it built already"})
	}
	for {
		select {
		case step := <-w.steps:
			tell(step)
			continue
		case <-f.done:
		case <-ctx.Done():
			if u.leave(f, w) {
				return true, context.Cause(ctx)
			}
		}
		break
	}
	for { // what was told before it ended
		select {
		case step := <-w.steps:
			tell(step)
			continue
		default:
		}
		break
	}
	if w.dropped > 0 {
		tell(Step{Kind: Dropped, Dropped: w.dropped})
	}
	return w.covered, f.err
}

// board returns the flight of the source with a place in it, and whether it was begun for that.
func (u *Updater) board(s *source, profile string) (f *flight, w *waiter, first bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, nil, false, ErrClosed
	}
	key := s.stampPath(profile)
	w = &waiter{steps: make(chan Step, 2*burst)}
	f = u.flights[key]
	if f == nil {
		first = true
		ctx, cancel := context.WithCancelCause(context.Background())
		f = &flight{cancel: cancel, done: make(chan struct{}), waiters: make(map[*waiter]struct{})}
		u.flights[key] = f
		u.wg.Go(func() { u.fly(ctx, f, key, s, profile) })
	}
	w.covered = !f.saw
	f.waiters[w] = struct{}{}
	return f, w, first, nil
}

// leave takes the waiter out of the flight, which ends if it was the last, and reports false if the flight ended before.
func (u *Updater) leave(f *flight, w *waiter) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-f.done:
		return false
	default:
	}
	delete(f.waiters, w)
	if len(f.waiters) == 0 {
		f.cancel(errLeft)
		u.forget(f) // who comes now begins another
	}
	return true
}

func (u *Updater) forget(f *flight) {
	for key, other := range u.flights {
		if other == f {
			delete(u.flights, key)
		}
	}
}

// fly makes one build and tells those who wait for it.
func (u *Updater) fly(ctx context.Context, f *flight, key string, s *source, profile string) {
	err := u.build(ctx, f, s, profile)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.flights[key] == f {
		delete(u.flights, key)
	}
	f.cancel(nil)
	f.err = err
	close(f.done)
}

func (u *Updater) build(ctx context.Context, f *flight, s *source, profile string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &BuildError{Name: s.name, Err: fmt.Errorf("the hive panicked: %v: %s", v, debug.Stack())}
		}
	}()
	tell := func(step Step) { u.tell(f, step) }
	select {
	case u.slots <- struct{}{}:
	default:
		tell(Step{Kind: Waiting, Text: fmt.Sprintf("%d other builds are at work", buildsAtOnce)})
		select {
		case u.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() { <-u.slots }()
	ctx, cancel := context.WithTimeoutCause(ctx, u.opts.timeout, errSlow)
	defer cancel()
	j := &job{source: s, profile: profile, env: u.env, tell: tell, saw: func() { u.sail(f) }}
	return j.build(ctx)
}

// sail says that the flight's build takes no more changes in. A later run of the same build covers those who came before it.
func (u *Updater) sail(f *flight) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f.saw = true
}

// tell passes a step on to all who wait. Nobody waits for one who does not listen.
func (u *Updater) tell(f *flight, step Step) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for w := range f.waiters {
		select {
		case w.steps <- step:
		default:
			w.dropped++
		}
	}
}
