package backend

import (
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"00000000": true, "0100007F": true, "0200007F": false, "0100A8C0": false,
		"00000000000000000000000000000000": true, "0000000000000000FFFF00000100007F": true,
		"00000000000000000000000001000000": false, "B80D012000000000000000000100007F": false,
	} {
		require.Equal(t, want, isLoopback(address), address)
	}
}

func TestListening(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0", ":0"} {
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { listener.Close() })
		port := listener.Addr().(*net.TCPAddr).Port
		sockets, known := listening(port)
		require.True(t, known)
		require.Len(t, sockets, 1, address)
		require.True(t, Taken(port))
		owns, known := newTree(os.Getpid(), 0).listens(port)
		require.False(t, owns, "this process is no descendant of its own")
		require.True(t, known)
	}
	port, err := FreePort()
	require.NoError(t, err)
	require.NotZero(t, port)
	owns, known := newTree(os.Getppid(), 0).listens(1)
	require.False(t, owns, "nobody listens")
	require.True(t, known)
}
