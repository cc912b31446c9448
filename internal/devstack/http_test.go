package devstack_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/devstack"
	"github.com/rbee-keeper/hive/messages"
)

func post(t *testing.T, url string, beat messages.Heartbeat) {
	t.Helper()
	body, err := beat.Encode()
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
}

// A client that sent half a request cannot keep the server from ending.
func TestServeHTTPEndsWithAClientThatHangs(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- devstack.ServeHTTP(ctx, listener, http.NotFoundHandler()) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n"))
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-ended)
}

func TestServeHTTPTellsThatItsListenerFailed(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	require.ErrorIs(t, devstack.ServeHTTP(t.Context(), listener, http.NotFoundHandler()), net.ErrClosed)
}
