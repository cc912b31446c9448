package process_test

import (
	"encoding/binary"
	"errors"
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
		address := []string{"127.0.0.1:0", "[::]:0", ":0", "0.0.0.0:0"}[i%4]
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
	collect := func(into map[int][]uint64) func(int, uint64) {
		return func(port int, inode uint64) {
			// The text has a socket twice where another has gone while it was read.
			if _, ours := listens[port]; ours && !slices.Contains(into[port], inode) {
				into[port] = append(into[port], inode)
			}
		}
	}
	asked, read := make(map[int][]uint64), make(map[int][]uint64)
	require.NoError(t, process.AskListeners(collect(asked)))
	process.ReadListeners(collect(read))
	for port, does := range listens {
		require.Equal(t, does, len(asked[port]) > 0, "port %d", port)
		require.Equal(t, once(read[port]), once(asked[port]), "port %d", port)
	}
}

// once returns each of the sockets, which may have been told twice.
func once(inodes []uint64) []uint64 { return slices.Compact(slices.Sorted(slices.Values(inodes))) }

// Who listens on one port is what the look at all says, wherever the socket is bound.
func TestListeningOnOnePort(t *testing.T) {
	t.Parallel()
	self, other := []process.Identity{{PID: os.Getpid()}}, []process.Identity{{PID: os.Getppid()}}
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", ":0", "[::]:0", "[::1]:0", "127.0.0.2:0"} {
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		port := listener.Addr().(*net.TCPAddr).Port
		for _, l := range []process.Listening{process.ReadListening(nil), process.ReadListeningOn(port, nil)} {
			require.True(t, l.On(port), address)
			by, known := l.By(port, self)
			require.True(t, by && known, address)
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

// Where several sockets share a port, whoever has one of them listens, also those that no connection reaches at the moment.
func TestListeningOnASharedPort(t *testing.T) {
	t.Parallel()
	share := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) (err error) {
		return errors.Join(conn.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }), err)
	}}
	var found process.Found
	for range 8 { // which of the two is reached depends on the port
		own, err := share.Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := own.Addr().(*net.TCPAddr).Port
		foreign, err := share.Listen(t.Context(), "tcp", own.Addr().String())
		require.NoError(t, err)
		file, err := foreign.(*net.TCPListener).File()
		require.NoError(t, err)
		require.NoError(t, foreign.Close())
		cmd := exec.Command("sleep", "60")
		cmd.ExtraFiles = []*os.File{file}
		require.NoError(t, cmd.Start())
		require.NoError(t, file.Close())
		for range 2 {
			l := process.ReadListeningOn(port, &found)
			for _, pid := range []int{os.Getpid(), cmd.Process.Pid} {
				by, known := l.By(port, []process.Identity{{PID: pid}})
				require.True(t, by && known, pid)
			}
			by, _ := l.By(port, []process.Identity{{PID: os.Getppid()}})
			require.False(t, by)
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		require.NoError(t, own.Close())
	}
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
