package netfault_test

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
	"github.com/rbee-keeper/hive/internal/netfault"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	// patience bounds every wait for what must come.
	patience = time.Minute
	// moment is how long a test listens for what must not come.
	moment = 50 * time.Millisecond
)

// pair is a connection through a proxy, seen from both of its ends.
type pair struct {
	t              *testing.T
	proxy          *netfault.Proxy
	listener       net.Listener
	client, server *net.TCPConn
}

func newPair(t *testing.T) *pair {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	proxy, err := netfault.New(listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	p := &pair{t: t, proxy: proxy, listener: listener}
	p.client, p.server = p.connect()
	return p
}

// connect makes one more connection.
func (p *pair) connect() (client, server *net.TCPConn) {
	p.t.Helper()
	c, err := net.DialTimeout("tcp", p.proxy.Addr(), patience)
	require.NoError(p.t, err)
	s, err := p.listener.Accept()
	require.NoError(p.t, err)
	p.t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func (p *pair) says(from io.Writer, text string) {
	p.t.Helper()
	_, err := io.WriteString(from, text)
	require.NoError(p.t, err)
}

func (p *pair) hears(at *net.TCPConn, text string) {
	p.t.Helper()
	require.NoError(p.t, at.SetReadDeadline(time.Now().Add(patience)))
	got := make([]byte, len(text))
	_, err := io.ReadFull(at, got)
	require.NoError(p.t, err)
	require.Equal(p.t, text, string(got))
}

// hearsNothing requires that nothing comes for a moment, and no end.
func (p *pair) hearsNothing(at *net.TCPConn) {
	p.t.Helper()
	require.NoError(p.t, at.SetReadDeadline(time.Now().Add(moment)))
	n, err := at.Read(make([]byte, 1))
	require.Zero(p.t, n)
	var late net.Error
	require.ErrorAs(p.t, err, &late)
	require.True(p.t, late.Timeout(), "%v", err)
}

func (p *pair) hearsTheEnd(at *net.TCPConn) {
	p.t.Helper()
	require.NoError(p.t, at.SetReadDeadline(time.Now().Add(patience)))
	_, err := at.Read(make([]byte, 1))
	require.ErrorIs(p.t, err, io.EOF)
}

func (p *pair) isReset(at *net.TCPConn) {
	p.t.Helper()
	require.NoError(p.t, at.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.ReadAll(at)
	require.ErrorIs(p.t, err, syscall.ECONNRESET)
}

func TestProxyPassesEverythingAndItsEnd(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.says(p.client, "ping")
	p.hears(p.server, "ping")
	p.says(p.server, "pong")
	p.hears(p.client, "pong")

	large := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB, more than any buffer on the way
	go func() {
		_, _ = io.WriteString(p.client, large)
		_ = p.client.CloseWrite()
	}()
	got, err := io.ReadAll(p.server)
	require.NoError(t, err)
	same := large == string(got) // a difference of megabytes is no message
	require.True(t, same, "%d bytes of %d came, or others", len(got), len(large))

	p.says(p.server, "and the answer")
	require.NoError(t, p.server.Close())
	got, err = io.ReadAll(p.client)
	require.NoError(t, err)
	require.Equal(t, "and the answer", string(got))
	require.Eventually(t, func() bool { return p.proxy.Links() == 0 }, patience, time.Millisecond)
	require.Equal(t, 1, p.proxy.Accepted())
}

func TestCutResetsBothEnds(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	second, other := p.connect()
	p.says(p.client, "x")
	p.hears(p.server, "x")
	p.proxy.Cut()
	for _, end := range []*net.TCPConn{p.client, p.server, second, other} {
		p.isReset(end)
	}
	p.client, p.server = p.connect() // the next one is none the worse
	p.says(p.client, "again")
	p.hears(p.server, "again")
	require.Eventually(t, func() bool { return p.proxy.Links() == 1 }, patience, time.Millisecond)
}

func TestHoldIsABlackHole(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]netfault.Way{"up": netfault.Up, "down": netfault.Down, "both": netfault.Both} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.proxy.Hold(held)
			newer, far := p.connect()
			for _, ends := range [][2]*net.TCPConn{{p.client, p.server}, {newer, far}} {
				p.says(ends[0], "up")
				p.says(ends[1], "down")
				for i, way := range []netfault.Way{netfault.Down, netfault.Up} {
					if held&way != 0 {
						p.hearsNothing(ends[i])
					} else {
						p.hears(ends[i], map[netfault.Way]string{netfault.Down: "down", netfault.Up: "up"}[way])
					}
				}
			}
			if held&netfault.Up != 0 { // nobody is told of an end either, and what was held comes before it
				require.NoError(t, p.client.CloseWrite())
				p.hearsNothing(p.server)
			}
			p.proxy.Heal()
			if held&netfault.Up != 0 {
				p.hears(p.server, "up")
				p.hearsTheEnd(p.server)
				p.hears(far, "up")
			}
			if held&netfault.Down != 0 {
				p.hears(p.client, "down")
				p.hears(newer, "down")
			}
		})
	}
}

func TestACutEndsABlackHole(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.proxy.Hold(netfault.Both)
	p.says(p.client, "lost")
	p.proxy.Cut()
	p.isReset(p.client)
	p.isReset(p.server)
	require.Eventually(t, func() bool { return p.proxy.Links() == 0 }, patience, time.Millisecond)
}

func TestHalfCloseEndsOneDirection(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]netfault.Way{"up": netfault.Up, "down": netfault.Down} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			near, far := p.client, p.server
			if way == netfault.Down {
				near, far = far, near
			}
			p.says(near, "before")
			p.hears(far, "before")
			p.proxy.HalfClose(way)
			p.hearsTheEnd(far)
			p.says(near, "dropped")
			p.says(far, "the other way")
			p.hears(near, "the other way")
			require.NoError(t, far.Close())
			p.hearsTheEnd(near)
		})
	}
}

func TestDelayIsALongWayAndNotANarrowOne(t *testing.T) {
	t.Parallel()
	const delay, pieces = 100 * time.Millisecond, 20
	p := newPair(t)
	p.proxy.Delay(delay)
	require.Eventually(t, func() bool { // on a machine that stands still it takes longer
		begun := time.Now()
		for range pieces {
			p.says(p.client, "x")
			time.Sleep(time.Millisecond) // so that they are pieces
		}
		p.hears(p.server, strings.Repeat("x", pieces))
		took := time.Since(begun)
		require.GreaterOrEqual(t, took, delay)
		return took < pieces*delay/2
	}, patience, time.Millisecond, "each was as late as the first, and no later")

	p.says(p.server, "late")
	p.proxy.Heal() // what is on its way arrives at once
	p.hears(p.client, "late")
}

func TestShutRefusesNewConnections(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.proxy.Shut()
	refused, err := net.DialTimeout("tcp", p.proxy.Addr(), patience)
	if err == nil { // the kernel took it before the proxy could refuse it
		defer refused.Close()
		p.isReset(refused.(*net.TCPConn))
	}
	p.says(p.client, "still there")
	p.hears(p.server, "still there")
	p.proxy.Heal()
	p.connect()
}

func TestATargetThatIsNotThere(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.says(p.client, "x")
	p.hears(p.server, "x")
	require.NoError(t, p.listener.Close())
	alone, err := net.DialTimeout("tcp", p.proxy.Addr(), patience)
	if err == nil {
		defer alone.Close()
		p.isReset(alone.(*net.TCPConn))
	}
	require.Equal(t, 1, p.proxy.Accepted())
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.proxy.Hold(netfault.Both)
	p.says(p.client, "held")
	p.proxy.Close()
	p.proxy.Close()
	p.isReset(p.client)
	_, err := net.DialTimeout("tcp", p.proxy.Addr(), patience)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}
