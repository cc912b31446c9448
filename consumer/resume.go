package consumer

import (
	"container/list"
	"context"
)

// A job that waited without a slot, such as for a build, takes one again before it goes on, so that all whom one build kept waiting
// do not start at once. Those come before the line, however long that is: they stood in it already. For the same reason the slot
// that is lent to the queue is theirs, and a line that is closed serves them: a hive that stops finishes what it began.
//
// None of them waits for ever: whoever holds a slot starts a process, which does not depend on another job, or waits, and has given
// it back.

// pause gives the slot of p back and returns what takes one again.
func (p *place) pause() (goOn func(ctx context.Context) error) {
	p.release()
	return p.resume
}

// resume returns nil when p holds a slot, or the cause of ctx's end if that comes first. A place that has ended gets none and
// needs none.
func (p *place) resume(ctx context.Context) error {
	want, turn := p.comeBack()
	if want == nil {
		return nil
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	select {
	case <-turn: // in the same moment; whoever ends p releases it
	default:
		p.line.back.Remove(want)
		p.inLine = nil
	}
	return context.Cause(ctx)
}

// comeBack takes a slot for p, or a place among those that wait for one again; then it returns that, and what is closed when p
// holds a slot.
func (p *place) comeBack() (want *list.Element, turn <-chan struct{}) {
	l := p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case p.slot || !p.flies || p.inLine != nil:
	case l.free > 0:
		l.free--
		p.slot = true
	case l.lent != nil:
		l.recall()
		p.slot = true
	default:
		p.turn = make(chan struct{})
		p.inLine = l.back.PushBack(p)
		return p.inLine, p.turn
	}
	return nil, nil
}

// regain hands a slot to the place in front of those that want one again.
func (l *line) regain(p *place) {
	l.back.Remove(p.inLine)
	p.inLine, p.slot = nil, true
	close(p.turn)
}
