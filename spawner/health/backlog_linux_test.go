package health_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/spawner/health"
)

// A server that takes no more connections has not refused: it is waited for. Here it takes the next when the kernel tries again to
// connect, a second later.
func TestServerWithMoreConnectionsThanItTakes(t *testing.T) {
	t.Parallel()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, unix.Listen(fd, 0))
	file := os.NewFile(uintptr(fd), "socket")
	listener, err := net.FileListener(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	defer func() { _ = listener.Close() }()
	first, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = first.Close() }()

	question := health.Question{Port: portOf(listener.Addr()), Path: "/health", Status: 200}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, health.Ask(question).Answers(ctx)[0], context.DeadlineExceeded)

	asked := health.Ask(question)
	taken, err := listener.Accept()
	require.NoError(t, err)
	require.NoError(t, taken.Close())
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer func() { _ = conn.Close() }()
		if _, err = http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		}
		served <- err
	}()
	require.NoError(t, asked.Answers(t.Context())[0])
	require.NoError(t, <-served)
}
