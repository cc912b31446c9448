package consumer

import (
	"container/list"
	"errors"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// Why a job gets no slot.
var (
	errFull    = errors.New("the line is full")
	errCrowded = errors.New("too many jobs wait for their workers")
	errClosed  = errors.New("the line is closed")
	errLate    = errors.New("the deadline passed")
)

// mostInFlight bounds the jobs that have been started and not answered: those that wait for their worker to be ready hold no
// slot, and each costs a goroutine and asks its worker twice a second.
const mostInFlight = 1024

// line bounds the jobs at work: a number of slots and, before them, a bounded line, first come, first served.
type line struct {
	mu         sync.Mutex
	free       int       // slots that nobody holds; 0 while somebody waits
	waiting    list.List // of *place, the longest waiting one in front
	standing   int       // how many of those that wait are no jobs but places for one that is still to be pulled
	lent       *place    // the place that holds a slot to pull a job into; nil if none does
	maxWaiting int
	inFlight   int       // jobs that got a slot and have not ended; they may have given it back
	back       list.List // of *place in flight that want a slot again; while there are any, none is free and none lent
	closed     bool
	idle       chan struct{} // closed once the line is closed and no job is in flight
}

// place is where one job stands. Every place from join must end.
type place struct {
	line *line

	// The line's mutex guards these.
	inLine *list.Element // nil once the job has its slot or left the line
	slot   bool          // the job holds a slot
	flies  bool          // the job is in flight
	lent   bool          // there is no job yet: it is still to be pulled
	spare  int           // of a lent place: slots that it holds besides, for further jobs

	turn    chan struct{} // closed when the place leaves the line with verdict set; nil if the job never had to wait
	verdict error

	recalled chan struct{} // of a lent place: closed when a slot was taken away again
	short    bool          // recalled is closed
}

func newLine(slots, maxWaiting int) *line {
	return &line{free: slots, maxWaiting: maxWaiting, idle: make(chan struct{})}
}

// join takes a free slot, or a place in line, or returns errFull, errCrowded or errClosed.
func (l *line) join() (*place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &place{line: l}
	switch {
	case l.closed:
		return nil, errClosed
	case l.inFlight >= mostInFlight:
		return nil, errCrowded
	case l.giveAtOnce(p):
	case l.waiting.Len()-l.standing < l.maxWaiting:
		p.turn = make(chan struct{})
		p.inLine = l.waiting.PushBack(p)
	default:
		return nil, errFull
	}
	return p, nil
}

// pass returns a place in flight that needs no slot, or errCrowded or errClosed. However many jobs wait for their workers, as
// many again can end some.
func (l *line) pass() (*place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, errClosed
	case l.inFlight >= 2*mostInFlight:
		return nil, errCrowded
	}
	l.inFlight++
	return &place{line: l, flies: true}, nil
}

// giveAtOnce hands p a slot that is free, or one that is lent while nobody stands in line for it, and reports whether there is one.
func (l *line) giveAtOnce(p *place) bool {
	switch {
	case l.free > 0:
		l.free--
	case l.lent != nil && l.waiting.Len() == 0:
		l.recall()
	default:
		return false
	}
	l.give(p)
	return true
}

// give hands a slot to p.
func (l *line) give(p *place) {
	p.slot = true
	if p.lent {
		l.lent = p
	} else if !p.flies {
		l.fly(p)
	}
	l.leave(p, nil)
}

func (l *line) fly(p *place) {
	p.flies = true
	l.inFlight++
}

// leave takes p out of the line, if it stands there, with the verdict that its job waits for.
func (l *line) leave(p *place, verdict error) {
	if p.inLine == nil {
		return
	}
	l.waiting.Remove(p.inLine)
	if p.lent {
		l.standing--
	}
	p.inLine, p.verdict = nil, verdict
	close(p.turn)
}

// close refuses all jobs to come with errClosed and returns how many are in flight. When those have ended, idle is closed.
func (l *line) close() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		if l.lent != nil {
			l.recall()
			l.handOn()
		}
		if l.inFlight == 0 {
			close(l.idle)
		}
	}
	return l.inFlight
}

// clear refuses the jobs in line with errClosed.
func (l *line) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.waiting.Len() > 0 {
		l.leave(l.waiting.Front().Value.(*place), errClosed)
	}
}

// load returns how many jobs are in flight and how many are in line.
func (l *line) load() (running, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight, l.waiting.Len() - l.standing
}

// wait returns nil when the job has its slot, errClosed when the line closed, or errLate when deadline passed first. A
// zero deadline never passes.
func (p *place) wait(deadline time.Time) error {
	if p.turn == nil {
		return nil
	}
	var late <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-p.turn:
	case <-late:
		p.line.mu.Lock()
		p.line.leave(p, errLate)
		p.line.mu.Unlock()
		<-p.turn // closed either way: by leave just now or by whoever was faster
	}
	return p.verdict
}

// release hands the slot, if the job holds one, to the next in line. Calling it again does nothing.
func (p *place) release() {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	p.line.release(p)
}

func (l *line) release(p *place) {
	if !p.slot {
		return
	}
	p.slot = false
	l.handOn()
}

// handOn gives a slot that nobody holds to whoever wants one again, also when the line is closed, or to the next in line.
func (l *line) handOn() {
	if next := l.back.Front(); next != nil {
		l.regain(next.Value.(*place))
		return
	}
	if next := l.waiting.Front(); next != nil && !l.closed {
		l.give(next.Value.(*place))
		return
	}
	l.free++
}

// end releases the slot and ends the job's flight. Calling it again, or on nil, does nothing.
func (p *place) end() {
	if p == nil {
		return
	}
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	p.line.release(p)
	if !p.flies {
		return
	}
	p.flies = false
	if p.inLine != nil { // it wants a slot again, for nothing
		p.line.back.Remove(p.inLine)
		p.inLine = nil
	}
	p.line.inFlight--
	if p.line.closed && p.line.inFlight == 0 {
		close(p.line.idle)
	}
}

// refusal puts an error of the line into words for the caller of job.
func (h *hive) refusal(job messages.Job, err error) *messages.Error {
	var e *messages.Error
	switch {
	case errors.Is(err, errFull):
		e = messages.Errorf(messages.HiveBusy, "hive %s has %d jobs at work and %d in line: try again later or on another hive", h.HiveID, h.MaxJobs, h.MaxWaiting)
	case errors.Is(err, errCrowded):
		e = messages.Errorf(messages.HiveBusy, "hive %s has %d jobs that wait for their workers: try again later or on another hive", h.HiveID, mostInFlight)
	case errors.Is(err, errClosed):
		e = h.draining()
	case errors.Is(err, errLate):
		return messages.Errorf(messages.DeadlineExceeded, "the deadline %s passed before the job could begin", job.Deadline.Format(time.RFC3339Nano))
	default:
		return messages.AsError(err)
	}
	e.Retryable = true
	return e
}

// draining says that the hive is stopping.
func (h *hive) draining() *messages.Error {
	e := messages.Errorf(messages.HiveDraining, "hive %s is stopping: try again later or on another hive", h.HiveID)
	e.Retryable = true
	return e
}
