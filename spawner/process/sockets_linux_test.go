package process_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

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
	collect := func(into map[int][]uint64) func(int, uint64) {
		return func(port int, inode uint64) {
			if _, ours := listens[port]; ours {
				into[port] = append(into[port], inode)
			}
		}
	}
	asked, read := make(map[int][]uint64), make(map[int][]uint64)
	require.NoError(t, process.AskListeners(collect(asked)))
	process.ReadListeners(collect(read))
	for port, does := range listens {
		require.Equal(t, does, len(asked[port]) > 0, "port %d", port)
		require.ElementsMatch(t, read[port], asked[port], "port %d", port)
	}
}

func BenchmarkReadListening(b *testing.B) {
	for b.Loop() {
		process.ReadListening(nil)
	}
}
