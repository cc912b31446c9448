//go:build linux

package spawner_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// sharing is how a socket is made that leaves room for others on its port.
var sharing = net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) (err error) {
	return errors.Join(conn.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }), err)
}}

// loads is a worker whose health is 503, and that leaves room for a stranger on its port: "six" listens on ::1 alone, "shared" shares the
// port, and "told" listens once it is told to, and becomes ready.
func loads(port, how string) int {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	address := "127.0.0.1:" + port
	var config net.ListenConfig
	switch how {
	case "six":
		address = "[::1]:" + port
	case "shared":
		config = sharing
	case "told":
		fmt.Println("waits")
		<-told
	}
	listener, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("listens")
	var asked atomic.Int32
	err = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 || how != "told" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Println("serves")
	}))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// A stranger answers on 127.0.0.1, and the worker listens where nobody asks it, or beside the stranger on the same port.
func TestWhoListensElsewhereIsNotReady(t *testing.T) {
	t.Parallel()
	for how, config := range map[string]net.ListenConfig{"six": {}, "shared": sharing} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			h := newHive(t, nil)
			w := h.run("w", "loads:"+how, "listens")
			listener, err := config.Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", w.Port))
			require.NoError(t, err)
			server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Second}
			go func() { _ = server.Serve(listener) }()
			t.Cleanup(func() { _ = server.Close() })
			for range 20 {
				require.Equal(t, messages.StateStarting, h.get("w").State)
				require.Equal(t, messages.StateStarting, h.list(false)[0].State)
			}
			require.ErrorIs(t, h.loading("w", "loads:"+how, 60_000).err, messages.PortInUse)
		})
	}
}

// A stranger has the port when the question is put, and gives it up before it answers: by then it is the worker who listens, which is
// ready when it says so itself.
func TestAnswerOfWhoListenedBeforeDoesNotCount(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = 0 })
	answered := make(chan error, 1)
	result, err := h.Spawn(t.Context(), readyJob("j", "loads:told"), func(e messages.Event) {
		if e.Action != messages.ActionSpawned {
			return
		}
		awaitLog(t, e.Fields.LogPath, "waits")
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", e.Fields.Port))
		if !assert.NoError(t, err) {
			return
		}
		go func() { answered <- answerLate(t, listener, e) }()
	}, holdsNothing)
	require.NoError(t, err)
	require.NoError(t, <-answered)
	text, err := os.ReadFile(result.LogPath)
	require.NoError(t, err)
	require.Contains(t, string(text), "\nserves\n")
}

// answerLate takes a question, lets the worker of the event have the port, and answers when that listens.
func answerLate(t *testing.T, listener net.Listener, e messages.Event) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		return err
	}
	if err := errors.Join(listener.Close(), syscall.Kill(e.Fields.PID, syscall.SIGUSR1)); err != nil {
		return err
	}
	assert.Eventually(t, func() bool {
		text, err := os.ReadFile(e.Fields.LogPath)
		return err == nil && strings.Contains(string(text), "\nlistens\n")
	}, patience, time.Millisecond)
	_, err = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
	return err
}
