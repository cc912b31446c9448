package process

// AskListeners and ReadListeners are the two ways to learn who listens.
var (
	AskListeners  = func(with func(port int, inode uint64, reached bool)) error { return askListeners(0, with) }
	ReadListeners = func(with func(port int, inode uint64, reached bool)) { readListeners(with) }
)

// FD returns the descriptor by which processes are started into the group.
func (g *Group) FD() int { return g.dir }

// ParseListeners reads a piece of the kernel's answer.
var ParseListeners = func(data []byte) (more bool, err error) { return parseListeners(data, func(int, uint64, bool) {}) }

// Path returns the directory of the group.
func (g *Group) Path() string { return g.path }
