// Package netfault is a network that fails when a test says so: a TCP proxy on the loopback that cuts, delays, half-closes or
// swallows the connections that go through it.
package netfault

import (
	"context"
	"net"
	"sync"
	"time"
)

// Way is a direction in which bytes pass, or several.
type Way uint8

const (
	// Up is from whoever connected to the target.
	Up Way = 1 << iota
	// Down is from the target to whoever connected.
	Down
	// Both are all directions.
	Both = Up | Down
)

// dialTimeout bounds the connection to the target.
const dialTimeout = 5 * time.Second

// Proxy passes connections on to one address. All its methods may be called at any time from any goroutine.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu       sync.Mutex
	links    map[*link]struct{}
	accepted int
	cuts     int
	closed   bool
	weather  weather
	changed  chan struct{} // closed and replaced with each change of the weather
}

// weather is what a Proxy does to every byte.
type weather struct {
	held  Way // where nothing passes
	delay time.Duration
	shut  bool // no new connection
}

// New returns a proxy that passes everything on to target, a host and a port. Close it.
func New(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, listener: listener, links: make(map[*link]struct{}), changed: make(chan struct{})}
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the host and the port to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Hold is a black hole: from now on nothing passes in the given directions, in new connections neither, and nobody is told, not even
// of an end. What is held passes after Heal, however late that is, as after an outage that TCP survived. What is held in
// the other direction passes.
func (p *Proxy) Hold(w Way) { p.change(func(now *weather) { now.held = w }) }

// Delay has each byte arrive that much later, in both directions.
func (p *Proxy) Delay(d time.Duration) { p.change(func(now *weather) { now.delay = d }) }

// Shut refuses new connections. Those that there are stay.
func (p *Proxy) Shut() { p.change(func(now *weather) { now.shut = true }) }

// Heal takes back what Hold, Delay and Shut did. What is cut or half-closed stays so.
func (p *Proxy) Heal() { p.change(func(now *weather) { *now = weather{} }) }

// Cut ends every connection with a reset on both sides, one that is being made, too. What is on its way is lost.
func (p *Proxy) Cut() {
	p.mu.Lock()
	p.cuts++
	p.mu.Unlock()
	for _, l := range p.open() {
		l.reset()
	}
}

// HalfClose says in every connection to whoever is at the end of the given directions that nothing more comes, and drops what comes
// all the same. The other direction goes on until one of its ends closes it.
func (p *Proxy) HalfClose(w Way) {
	for _, l := range p.open() {
		for _, lane := range l.lanes {
			if lane.way&w != 0 {
				lane.end()
			}
		}
	}
}

// Accepted returns how many connections were passed on so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Links returns how many connections there are.
func (p *Proxy) Links() int { return len(p.open()) }

// Close refuses new connections, cuts those that there are, and returns when all has ended. Calling it again does nothing.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.running.Wait()
}

func (p *Proxy) change(how func(*weather)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how(&p.weather)
	close(p.changed)
	p.changed = make(chan struct{})
}

// look returns the weather and what is closed when it changes.
func (p *Proxy) look() (weather, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weather, p.changed
}

func (p *Proxy) open() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // it was closed
		}
		p.mu.Lock()
		cuts := p.cuts
		p.mu.Unlock()
		p.running.Go(func() { p.serve(client.(*net.TCPConn), cuts) })
	}
}

// serve passes one connection on until it has ended. It was made after so many cuts.
func (p *Proxy) serve(client *net.TCPConn, cuts int) {
	now, _ := p.look()
	var server net.Conn
	var err error
	if !now.shut {
		dialer := net.Dialer{Timeout: dialTimeout}
		server, err = dialer.DialContext(context.Background(), "tcp", p.target)
	}
	if server == nil || err != nil {
		reset(client)
		return
	}
	l := newLink(p, client, server.(*net.TCPConn))
	if !p.enter(l, cuts) {
		l.reset()
	}
	l.run()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// enter makes l one of the connections, and reports false if it was cut meanwhile.
func (p *Proxy) enter(l *link, cuts int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.cuts != cuts {
		return false
	}
	p.accepted++
	p.links[l] = struct{}{}
	return true
}
