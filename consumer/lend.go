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

// widen lends p as many of the free slots besides as there are further jobs to pull, and returns how many those are.
func (p *place) widen(jobs uint64) int {
	l := p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.lent != p {
		return 0
	}
	room := uint64(max(min(l.free, mostInFlight-l.inFlight-1), 0)) //nolint:gosec // not negative
	p.spare = int(min(room, jobs))                                 //nolint:gosec // not more than there are slots
	l.free -= p.spare
	return p.spare
}

// recall takes a slot of the lent place away; whoever calls it has the slot.
func (l *line) recall() {
	p := l.lent
	if p.spare > 0 {
		p.spare--
	} else {
		l.lent, p.slot = nil, false
	}
	if !p.short {
		p.short = true
		close(p.recalled)
	}
}

// crowded reports whether jobs wait for the slot that p holds.
func (p *place) crowded() bool {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	return p.line.waiting.Len() > 0
}

// take returns the place of a job that was pulled into p. If its slot was taken away meanwhile, the job is the next in line.
// Once the line is closed it returns errClosed, and the job must not run.
func (p *place) take() (*place, error) {
	l := p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	job := &place{line: l}
	switch {
	case p.spare > 0:
		p.spare--
		l.give(job)
	case p.slot:
		l.lent, p.slot = nil, false
		l.give(job)
	case l.free > 0:
		l.free--
		l.give(job)
	default:
		job.turn = make(chan struct{})
		job.inLine = l.waiting.PushFront(job)
	}
	return job, nil
}

// refuse returns the place of a job that came when the line was closed.
func (l *line) refuse() *place {
	p := &place{line: l, turn: make(chan struct{}), verdict: errClosed}
	close(p.turn)
	return p
}

// giveBack ends a place that gets no further job.
func (p *place) giveBack() {
	l := p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(p, errClosed)
	if l.lent == p {
		l.lent = nil
	}
	for ; p.spare > 0; p.spare-- {
		l.handOn()
	}
	l.release(p)
}
