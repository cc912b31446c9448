package process_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/spawner/process"
)

// What the kernel answers is what its text says, of as many sockets as take several pieces of an answer; who is connected and
// does not listen is in neither.
func TestBothTellersOfListenersAgree(t *testing.T) {
	t.Parallel()
	const many = 600
	listens := make(map[int]bool)
	for i := range many {
		address := []string{"127.0.0.1:0", "[::]:0", ":0", "0.0.0.0:0", "[::1]:0", "127.0.0.2:0", "[::ffff:127.0.0.1]:0"}[i%7]
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		defer func() { _ = listener.Close() }()
		listens[listener.Addr().(*net.TCPAddr).Port] = true
		if i == 0 {
			conn, err := net.Dial("tcp", listener.Addr().String())
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			listens[conn.LocalAddr().(*net.TCPAddr).Port] = false
		}
	}
	// Neither tells all of them in one piece: whoever opens or closes a socket meanwhile can have one told twice, or not at all.
	require.EventuallyWithT(t, func(c *assert.CollectT) { bothAgree(c, listens) }, patience, time.Millisecond)
}

func bothAgree(t require.TestingT, listens map[int]bool) {
	type told struct {
		inode   uint64
		reached bool
	}
	collect := func(into map[int][]told) func(int, uint64, bool) {
		return func(port int, inode uint64, reached bool) {
			// The text has a socket twice where another has gone while it was read.
			if _, ours := listens[port]; ours && !slices.Contains(into[port], told{inode, reached}) {
				into[port] = append(into[port], told{inode, reached})
			}
		}
	}
	asked, read := make(map[int][]told), make(map[int][]told)
	require.NoError(t, process.AskListeners(collect(asked)))
	process.ReadListeners(collect(read))
	for port, does := range listens {
		require.Equal(t, does, len(asked[port]) > 0, "port %d", port)
		require.ElementsMatch(t, read[port], asked[port], "port %d", port)
	}
}

// Who listens on one port is what the look at all says, wherever the socket is bound. Who listens where 127.0.0.1 does not reach does
// not have the port.
func TestListeningOnOnePort(t *testing.T) {
	t.Parallel()
	self, other := []process.Identity{{PID: os.Getpid()}}, []process.Identity{{PID: os.Getppid()}}
	for address, reached := range map[string]bool{
		"127.0.0.1:0": true, "0.0.0.0:0": true, ":0": true, "[::]:0": true, "[::1]:0": false, "127.0.0.2:0": false,
	} {
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		port := listener.Addr().(*net.TCPAddr).Port
		for _, l := range []process.Listening{process.ReadListening(nil), process.ReadListeningOn(port, nil)} {
			require.True(t, l.On(port), address)
			require.Equal(t, reached, l.Reached(port), address)
			by, known := l.By(port, self)
			require.True(t, by == reached && known, address)
			by, known = l.By(port, other)
			require.True(t, !by && known, address)
		}
		defer func() { _ = listener.Close() }()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	port := conn.LocalAddr().(*net.TCPAddr).Port // which nobody else takes, and where nobody listens
	l := process.ReadListeningOn(port, nil)
	require.False(t, l.On(port))
	by, known := l.By(port, self)
	require.True(t, !by && known)
}

// Where several sockets share a port, nobody has it who does not have all of them, whichever a connection reaches at the moment.
func TestListeningOnASharedPort(t *testing.T) {
	t.Parallel()
	share := net.ListenConfig{Control: setting(unix.SOL_SOCKET, unix.SO_REUSEPORT)}
	var found process.Found
	for range 8 { // which of the two is reached depends on the port
		own, err := share.Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := own.Addr().(*net.TCPAddr).Port
		foreign, err := share.Listen(t.Context(), "tcp", own.Addr().String())
		require.NoError(t, err)
		other := inherits(t, foreign)
		for range 2 {
			for _, l := range []process.Listening{process.ReadListeningOn(port, &found), process.ReadListening(&found)} {
				for _, pid := range []int{os.Getpid(), other, os.Getppid()} {
					by, known := l.By(port, []process.Identity{{PID: pid}})
					require.True(t, !by && known, pid)
				}
				by, known := l.By(port, []process.Identity{{PID: other}, {PID: os.Getpid()}})
				require.True(t, by && known)
			}
		}
		require.NoError(t, own.Close())
		require.Eventually(t, func() bool { // another test's child may have the socket until it runs its program
			by, _ := process.ReadListeningOn(port, &found).By(port, []process.Identity{{PID: other}})
			return by
		}, patience, time.Millisecond, "it has it alone now")
	}
}

// Whoever listens beside the worker where 127.0.0.1 does not reach does not disturb.
func TestListeningBesideAnother(t *testing.T) {
	t.Parallel()
	for address, control := range map[string]func(string, string, syscall.RawConn) error{
		"[::1]": nil, "[::]": setting(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY), "127.0.0.2": nil,
	} {
		own, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := own.Addr().(*net.TCPAddr).Port
		config := net.ListenConfig{Control: control}
		beside, err := config.Listen(t.Context(), "tcp", fmt.Sprintf("%s:%d", address, port))
		require.NoError(t, err)
		other := inherits(t, beside)
		for _, read := range []func() process.Listening{
			func() process.Listening { return process.ReadListening(nil) },
			func() process.Listening { return process.ReadListeningOn(port, nil) },
		} {
			by, known := read().By(port, []process.Identity{{PID: os.Getpid()}})
			require.True(t, by && known, address)
			by, known = read().By(port, []process.Identity{{PID: other}})
			require.True(t, !by && known, address)
		}
		require.NoError(t, own.Close())
		require.Eventually(t, func() bool {
			l := process.ReadListeningOn(port, nil)
			return l.On(port) && !l.Reached(port)
		}, patience, time.Millisecond, address)
	}
}

// setting sets an option of a socket before it is bound.
func setting(level, option int) func(string, string, syscall.RawConn) error {
	return func(_, _ string, conn syscall.RawConn) (err error) {
		return errors.Join(conn.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }), err)
	}
}

// inherits starts a process that has the socket from now on, alone, and lives as long as the test, and returns its id.
func inherits(t *testing.T, listener net.Listener) int {
	t.Helper()
	file, err := listener.(*net.TCPListener).File()
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	cmd := exec.Command("sleep", "60")
	cmd.ExtraFiles = []*os.File{file}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.NoError(t, file.Close())
	return cmd.Process.Pid
}

// Where a socket was found is where it is looked for first, and no proof that it is there.
func TestFoundSocketsAreLookedAtAgain(t *testing.T) {
	t.Parallel()
	var found process.Found
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	self := []process.Identity{{PID: os.Getpid()}}
	l := process.ReadListening(&found)
	for range 2 {
		by, _ := l.By(port, self)
		require.True(t, by)
		by, _ = l.By(port, []process.Identity{{PID: os.Getppid()}})
		require.False(t, by, "it is not this one's, whoever has it")
	}
	file, err := listener.(*net.TCPListener).File() // another descriptor of the same socket
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	by, _ := l.By(port, self)
	require.True(t, by, "it is elsewhere now")
	require.NoError(t, file.Close())
	by, _ = l.By(port, self)
	require.False(t, by, "it has gone")
}

// A kernel that cannot tell says so in the last piece of its answer, or in the only one.
func TestAnswerThatIsAnError(t *testing.T) {
	t.Parallel()
	message := func(kind uint16, code int32) []byte {
		data := make([]byte, 20)
		binary.NativeEndian.PutUint32(data, 20)
		binary.NativeEndian.PutUint16(data[4:], kind)
		binary.NativeEndian.PutUint16(data[6:], unix.NLM_F_MULTI)
		binary.NativeEndian.PutUint32(data[16:], uint32(code))
		return data
	}
	for _, kind := range []uint16{unix.NLMSG_DONE, unix.NLMSG_ERROR} {
		more, err := process.ParseListeners(message(kind, -int32(unix.ENOENT)))
		require.ErrorIs(t, err, unix.ENOENT)
		require.False(t, more)
		more, err = process.ParseListeners(message(kind, 0))
		require.NoError(t, err)
		require.False(t, more)
	}
	_, err := process.ParseListeners([]byte("short"))
	require.ErrorContains(t, err, "cut short")
}

func BenchmarkReadListening(b *testing.B) {
	for b.Loop() {
		process.ReadListening(nil)
	}
}

func BenchmarkReadListeningOn(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = listener.Close() }()
	port := listener.Addr().(*net.TCPAddr).Port
	for b.Loop() {
		process.ReadListeningOn(port, nil)
	}
}

func BenchmarkListeningBy(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = listener.Close() }()
	port := listener.Addr().(*net.TCPAddr).Port
	self := []process.Identity{{PID: os.Getpid()}}
	var found process.Found
	for b.Loop() {
		by, _ := process.ReadListeningOn(port, &found).By(port, self)
		require.True(b, by)
	}
}
