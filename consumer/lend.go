package consumer

// The queue stands in the same line as the requests, with one place: whose turn it is takes a slot, and only then one job is
// pulled into it. So no job leaves the queue that this hive has no room for, and neither way of asking starves the other:
// with n requests in line, every n+1st slot goes to the queue.
//
// A slot that waits for a job to come is lent: the first request that finds no other free takes it away, and the pull ends.

// stand puts a place without a job at the end of the line, however long that is, or returns errCrowded or errClosed. Its turn
// has come when its channel is closed; it then holds a slot until recalled is closed, take is called, or giveBack.
func (l *line) stand() (*place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, errClosed
	case l.inFlight >= mostInFlight:
		return nil, errCrowded
	}
	p := &place{line: l, lent: true, turn: make(chan struct{}), recalled: make(chan struct{})}
	p.inLine = l.waiting.PushBack(p)
	l.standing++
	if l.free > 0 {
		l.free--
		l.give(p)
	}
	return p, nil
}

// recall takes the slot of the lent place away; whoever calls it has the slot.
func (l *line) recall() {
	p := l.lent
	l.lent, p.slot = nil, false
	close(p.recalled)
}

// crowded reports whether jobs wait for the slot that p holds.
func (p *place) crowded() bool {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	return p.line.waiting.Len() > 0
}

// take makes p the place of a job that was pulled into it. If its slot was taken away meanwhile, the job is the next in line.
// Once the line is closed it returns errClosed, and the job must not run.
func (p *place) take() error {
	l := p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	p.lent = false
	switch {
	case p.slot:
		l.lent = nil
		l.fly(p)
	case l.free > 0:
		l.free--
		l.give(p)
	default:
		p.turn = make(chan struct{})
		p.inLine = l.waiting.PushFront(p)
	}
	return nil
}

// giveBack ends a place that got no job.
func (p *place) giveBack() {
	l := p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(p, errClosed)
	if l.lent == p {
		l.lent = nil
	}
	l.release(p)
}
