//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
)

func TestServeNotifiesSystemd(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer socket.Close()
	states := make(chan string, 1000)
	go func() {
		defer close(states)
		for buffer := make([]byte, 4096); ; {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			states <- string(buffer[:n])
		}
	}()

	hive := newMachine(t).serve(t, "NATS_URL="+server.URL(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=20000")
	require.Equal(t, "READY=1", <-states)
	require.Equal(t, "WATCHDOG=1", <-states)
	hive.Signal(syscall.SIGTERM)
	for state := range states {
		if state == "STOPPING=1" {
			break
		}
		require.Equal(t, "WATCHDOG=1", state)
	}
	code, said := hive.Exit()
	require.Equal(t, 0, code, said)
}

// A connection that NATS ends for good ends the hive with a failure, so that its supervisor starts it again.
func TestServeEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err == nil {
			defer conn.Close()
			dismiss(conn)
		}
	}()
	t.Cleanup(func() { listener.Close(); <-ended })

	code, said := newMachine(t).serve(t, "NATS_URL=nats://"+listener.Addr().String()).Exit()
	require.Equal(t, 1, code, said)
	require.Contains(t, said, "rbee-hive: ")
}

// dismiss plays a NATS server that takes a connection and ends it with an error that the client must obey.
func dismiss(conn net.Conn) {
	fmt.Fprint(conn, `INFO {"server_id":"test","version":"2.15.2","headers":true,"max_payload":1048576}`+"\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "PING"):
			fmt.Fprint(conn, "PONG\r\n")
		case strings.HasPrefix(line, "SUB"):
			fmt.Fprint(conn, "-ERR 'Dismissed'\r\n")
		}
	}
}
