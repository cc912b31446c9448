package natsd

import (
	"fmt"
	"sync"
)

// fatalLog is the server's logger. The server tells why it cannot start through its logger alone, expecting the process to
// end there; fatalLog keeps the first such reason and drops every other line.
type fatalLog struct {
	mu  sync.Mutex
	err error
}

// first returns the first fatal reason, or nil.
func (l *fatalLog) first() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Fatalf keeps the reason, with the error among its arguments still there for errors.Is.
func (l *fatalLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	var cause error
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			cause = err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = &startError{text: text, cause: cause}
	}
}

// Noticef drops the line.
func (*fatalLog) Noticef(string, ...any) {}

// Warnf drops the line.
func (*fatalLog) Warnf(string, ...any) {}

// Errorf drops the line.
func (*fatalLog) Errorf(string, ...any) {}

// Debugf drops the line.
func (*fatalLog) Debugf(string, ...any) {}

// Tracef drops the line.
func (*fatalLog) Tracef(string, ...any) {}

// startError is a text of the server library with the error that it speaks of.
type startError struct {
	text  string
	cause error
}

// Error returns the library's text.
func (e *startError) Error() string { return e.text }

// Unwrap returns the error that the text speaks of, or nil.
func (e *startError) Unwrap() error { return e.cause }
