package backend

// Backend is a server that was started. There is none on Windows.
type Backend struct{}

// Start returns [ErrUnsupported].
func Start(Command) (*Backend, error) { return nil, ErrUnsupported }

// Guard does nothing.
func Guard([]string) int { return 1 }

// PID returns 0.
func (*Backend) PID() int { return 0 }

// End does nothing.
func (*Backend) End() {}

// Done returns nil, which never tells of an end.
func (*Backend) Done() <-chan struct{} { return nil }

// Exit returns nothing.
func (*Backend) Exit() (Exit, error) { return Exit{}, nil }

// Owns knows nothing.
func (*Backend) Owns(int) (owns, known bool) { return false, false }
