package main

import "sync"

// The states of a worker, as its heartbeats name them.
const (
	statusStarting = "starting" // the process runs, the model is not loaded
	statusReady    = "ready"    // it serves
	statusBusy     = "busy"     // it serves and generates right now
	statusStopped  = "stopped"  // it ends; nothing follows
)

// status is the state of this worker: starting ⇄ ready ⇄ busy → stopped. Its zero value is not usable.
type status struct {
	changed chan struct{} // holds one token when the state changed since it was last taken

	mu    sync.Mutex
	phase string // starting, ready or stopped
	jobs  int    // generations that run
}

func newStatus() *status {
	return &status{changed: make(chan struct{}, 1), phase: statusStarting}
}

// current returns the state of this instant.
func (s *status) current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == statusReady && s.jobs > 0 {
		return statusBusy
	}
	return s.phase
}

// serving reports whether requests are taken: ready or busy.
func (s *status) serving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == statusReady
}

// ready ends starting. A worker that was stopped while it loaded stays stopped.
func (s *status) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != statusStarting {
		return false
	}
	s.phase = statusReady
	s.tell()
	return true
}

// falter goes back to starting: the worker does not serve for now.
func (s *status) falter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == statusReady {
		s.phase = statusStarting
		s.tell()
	}
}

// running returns how many generations run.
func (s *status) running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs
}

// stop is final.
func (s *status) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = statusStopped
	s.tell()
}

// begin counts one generation in and reports whether it may run; end must follow when it may.
func (s *status) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != statusReady {
		return false
	}
	s.jobs++
	if s.jobs == 1 {
		s.tell()
	}
	return true
}

// end counts one generation out.
func (s *status) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs--
	if s.jobs == 0 {
		s.tell()
	}
}

// tell never blocks: one token stands for every change since the last look.
func (s *status) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
