package health_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/rbee-keeper/hive/spawner/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve has every connection served, one at a time, and closed behind that, and returns the port. Nobody listens any more when the
// test ends.
func serve(t *testing.T, with func(conn net.Conn)) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			with(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return portOf(listener.Addr())
}

// says is a server that reads a request and says these texts, each in a packet of its own.
func says(texts ...string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		for _, text := range texts {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

// silent is a server that says a text and no more, until its client has gone.
func silent(text string) func(net.Conn) {
	return func(conn net.Conn) {
		says(text)(conn)
		_, _ = io.Copy(io.Discard, conn)
	}
}

func portOf(address net.Addr) int { return address.(*net.TCPAddr).Port }

// inGo is a server of package net/http.
func inGo(t *testing.T, handle http.HandlerFunc) int {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return portOf(server.Listener.Addr())
}

// refuses returns a port where nobody listens, and where nobody comes to listen: it is that of a connection.
func refuses(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return portOf(conn.LocalAddr())
}

const long = 20 * time.Second

// ask asks one server whether it serves, as long as it takes.
func ask(t *testing.T, port int) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	return health.Ask(health.Question{Port: port, Path: "/health", Status: http.StatusOK}).Answers(ctx)[0]
}

func TestServersThatServe(t *testing.T) {
	t.Parallel()
	for name, port := range map[string]int{
		"Go": inGo(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"ok"}`) }),
		"Go, chunks": inGo(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = io.WriteString(w, strings.Repeat("x", 5000))
				w.(http.Flusher).Flush()
			}
		}),
		"Go, early hints": inGo(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
		}),
		"HTTP/1.0":              serve(t, says("HTTP/1.0 200 OK\r\n\r\nok")),
		"no reason, no headers": serve(t, says("HTTP/1.1 200\r\n\r\n")),
		"bare line feeds":       serve(t, says("HTTP/1.1 200 OK\nServer: old\n\nok")),
		"continue":              serve(t, says("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 Processing\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
		"chunks":                serve(t, says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\n", "ok\r\n", "0\r\n\r\n")),
		"byte by byte":          serve(t, says(strings.Split("HTTP/1.1 200 OK\r\nServer: slow\r\nContent-Length: 2\r\n\r\nok", "")...)),
		"keeps its connection":  serve(t, silent("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
		"never ends its body":   serve(t, silent("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nok")),
		"long head":             serve(t, says("HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", 30_000)+"\r\n\r\n")),
	} {
		for range 3 {
			require.NoError(t, ask(t, port), name)
		}
	}
}

func TestServersThatDoNotServe(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		port int
		says string // behind the URL
	}{
		"refuses":      {refuses(t), `": dial tcp 127.0.0.1:PORT: connect: connection refused`},
		"loads":        {serve(t, says("HTTP/1.1 503 Service Unavailable\r\n\r\nloading model")), ` answers 503 Service Unavailable`},
		"loads, in Go": {inGo(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }), ` answers 503 Service Unavailable`},
		"redirects": {inGo(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}), ` answers 307 Temporary Redirect`},
		"switches":           {serve(t, says("HTTP/1.1 101 Switching Protocols\r\n\r\n")), ` answers 101 Switching Protocols`},
		"closes at once":     {serve(t, func(net.Conn) {}), `": `}, // EOF, or connection reset by peer
		"closes":             {serve(t, says()), `": EOF`},
		"closes in the head": {serve(t, says("HTTP/1.1 200 OK\r\nServer: x\r\n")), `": unexpected EOF`},
		"closes in the line": {serve(t, says("HTTP/1.1 2")), `": unexpected EOF`},
		"only continues":     {serve(t, says("HTTP/1.1 100 Continue\r\n\r\n")), `": unexpected EOF`},
		"garbage":            {serve(t, silent("SSH-2.0-OpenSSH_9.2\r\n")), `": malformed HTTP response "SSH-2.0-OpenSSH_9.2"`},
		"more garbage":       {serve(t, silent("\x15\x03\x01\x00\x02\x02\x16\n")), `": malformed HTTP response`},
		"an empty line":      {serve(t, silent("\r\n")), `": malformed HTTP response ""`},
		"another protocol":   {serve(t, silent("ICY 200 OK\r\n")), `": malformed HTTP version "ICY"`},
		"no status":          {serve(t, silent("HTTP/1.1 ok\r\n")), `": malformed HTTP status code "ok"`},
		"bad header":         {serve(t, silent("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")), `": malformed MIME header`},
		"endless head":       {serve(t, says("HTTP/1.1 200 OK\r\n", strings.Repeat("A: b\r\n", 20_000))), `": the head of the answer is longer than 65536 bytes`},
		"endless line":       {serve(t, says(strings.Repeat("a", 100_000))), `": the head of the answer is longer than 65536 bytes`},
		"endless continue":   {serve(t, says(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 4000))), `": the head of the answer is longer than 65536 bytes`},
	} {
		url := fmt.Sprintf("http://127.0.0.1:%d/health", tc.port)
		require.ErrorContains(t, ask(t, tc.port), url+strings.ReplaceAll(tc.says, "PORT", fmt.Sprint(tc.port)), name)
	}
}

// What is sent is a request that any server takes, for the very path, and the connection is not kept.
func TestTheRequest(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	port := inGo(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r
		w.WriteHeader(http.StatusNoContent)
	})
	question := health.Question{Port: port, Path: "/sta tus?of=all", Status: http.StatusNoContent}
	require.NoError(t, health.Ask(question).Answers(t.Context())[0])
	r := <-got
	require.Equal(t, []string{"GET", "/sta%20tus?of=all", "HTTP/1.1"}, []string{r.Method, r.RequestURI, r.Proto})
	require.Equal(t, fmt.Sprintf("127.0.0.1:%d", port), r.Host)
	require.True(t, r.Close)
	require.NotEmpty(t, r.UserAgent())

	question.Path = "x"
	require.ErrorContains(t, health.Ask(question).Answers(t.Context())[0], "invalid port")
}

func TestWhoHangsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	hangs, serves := serve(t, silent("")), serve(t, says("HTTP/1.1 200 OK\r\n\r\n"))
	ctx, cancel := context.WithCancelCause(t.Context())
	asked := health.Ask(
		health.Question{Port: hangs, Path: "/health", Status: 200},
		health.Question{Port: serves, Path: "/health", Status: 200},
		health.Question{Port: serves, Path: "/health", Status: 204},
	)
	time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("enough")) })
	answers := asked.Answers(ctx)
	require.ErrorContains(t, answers[0], "no answer")
	require.ErrorIs(t, answers[0], context.Canceled)
	require.NoError(t, answers[1])
	require.ErrorContains(t, answers[2], "answers 200 OK")

	ctx, cancelAgain := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancelAgain()
	err := health.Ask(health.Question{Port: hangs, Path: "/health", Status: 200}).Answers(ctx)[0]
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, fmt.Sprintf(`Get "http://127.0.0.1:%d/health": no answer`, hangs))
}

func TestNobodyIsAsked(t *testing.T) {
	t.Parallel()
	asked := health.Ask()
	require.Empty(t, asked.Answers(t.Context()))
	asked.Drop()
}

// More servers than are asked at once: each has its own answer, whatever the others do.
func TestManyServers(t *testing.T) {
	t.Parallel()
	const many = 500
	kinds := []struct {
		port int
		want string
	}{
		{serve(t, says("HTTP/1.1 200 OK\r\n\r\n")), ""},
		{serve(t, says("HTTP/1.1 503 Loading\r\n\r\n")), "answers 503 Loading"},
		{refuses(t), "connection refused"},
		{serve(t, says()), "EOF"},
		{serve(t, says("HTTP/1.1 200", " OK\r\n", "\r\n")), ""},
	}
	questions := make([]health.Question, many)
	for i := range questions {
		questions[i] = health.Question{Port: kinds[i%len(kinds)].port, Path: "/health", Status: 200}
	}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	asked := health.Ask(questions...)
	require.LessOrEqual(t, asked.Put(), many)
	answers := asked.Answers(ctx)
	require.Len(t, answers, many)
	for i, err := range answers {
		if want := kinds[i%len(kinds)].want; want == "" {
			require.NoError(t, err, i)
		} else {
			require.ErrorContains(t, err, want, i)
		}
	}
}

// Those who hang have all the slots: whoever could not be asked has no answer, and all of it ends in time.
func TestManyThatHang(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // which accepts nobody
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	questions := make([]health.Question, 300)
	for i := range questions {
		questions[i] = health.Question{Port: portOf(listener.Addr()), Path: "/health", Status: 200}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, err := range health.Ask(questions...).Answers(ctx) {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}

// Whoever is no longer asked hears of it.
func TestDroppedQuestions(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	port := serve(t, func(conn net.Conn) {
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	})
	asked := health.Ask(health.Question{Port: port, Path: "/health", Status: 200})
	asked.Drop()
	asked.Drop()
	if asked.Put() > 0 { // on a system that puts them at once
		require.NoError(t, <-ended)
	}
}
