package netfault

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pieceSize is how much is passed on at once.
	pieceSize = 32 << 10
	// lanePieces is how many pieces a lane keeps while they are held or delayed; behind them whoever sends has to wait.
	lanePieces = 256
)

// link is one connection: two lanes between two ends.
type link struct {
	ends  [2]*net.TCPConn
	lanes [2]*lane
	over  chan struct{} // closed when the connection was reset
	once  sync.Once
}

// lane is one direction of a link.
type lane struct {
	proxy    *Proxy
	link     *link
	way      Way
	from, to *net.TCPConn
	pieces   chan piece
	ended    atomic.Bool // the far end was told that nothing more comes
}

// piece is what was read at once; without data it is the end.
type piece struct {
	data []byte
	read time.Time
}

func newLink(p *Proxy, client, server *net.TCPConn) *link {
	l := &link{ends: [2]*net.TCPConn{client, server}, over: make(chan struct{})}
	l.lanes[0] = &lane{proxy: p, link: l, way: Up, from: client, to: server, pieces: make(chan piece, lanePieces)}
	l.lanes[1] = &lane{proxy: p, link: l, way: Down, from: server, to: client, pieces: make(chan piece, lanePieces)}
	return l
}

// run passes bytes until both directions have ended or the connection is reset.
func (l *link) run() {
	var running sync.WaitGroup
	for _, lane := range l.lanes {
		running.Go(lane.take)
		running.Go(lane.pass)
	}
	running.Wait()
	l.reset() // of what both sides have closed, nothing is left to lose
}

// reset ends the connection so that what is on its way is lost.
func (l *link) reset() {
	l.once.Do(func() {
		close(l.over)
		for _, end := range l.ends {
			reset(end)
		}
	})
}

func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// end tells the far end of the lane that nothing more comes.
func (l *lane) end() {
	if !l.ended.Swap(true) {
		_ = l.to.CloseWrite()
	}
}

// take reads what is to be passed on.
func (l *lane) take() {
	defer close(l.pieces)
	for {
		buffer := make([]byte, pieceSize)
		n, err := l.from.Read(buffer)
		if n > 0 && !l.put(piece{data: buffer[:n], read: time.Now()}) {
			return
		}
		if err != nil {
			l.put(piece{read: time.Now()})
			return
		}
	}
}

func (l *lane) put(p piece) bool {
	select {
	case l.pieces <- p:
		return true
	case <-l.link.over:
		return false
	}
}

// pass passes on what was read, when the weather allows it.
func (l *lane) pass() {
	for p := range l.pieces {
		if !l.await(p) {
			return
		}
		switch {
		case p.data == nil:
			l.end()
		case l.ended.Load(): // dropped
		default:
			if _, err := l.to.Write(p.data); err != nil && !l.ended.Load() {
				l.link.reset()
				return
			}
		}
	}
}

// await returns true when p may pass, and false if the connection ended before.
func (l *lane) await(p piece) bool {
	for {
		now, changed := l.proxy.look()
		left := time.Until(p.read.Add(now.delay))
		if now.held&l.way == 0 && left <= 0 {
			select {
			case <-l.link.over:
				return false
			default:
				return true
			}
		}
		var due <-chan time.Time
		if now.held&l.way == 0 {
			due = time.After(left)
		}
		select {
		case <-due:
		case <-changed:
		case <-l.link.over:
			return false
		}
	}
}
