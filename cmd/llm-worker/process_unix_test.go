//go:build unix

package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// endTime is what the worker contract of this program promises: from the signal to the end of the process.
const endTime = time.Second

// inTime requires that a process is stopped in time. On a machine that stands still each takes longer, but not one after the other.
func inTime(t *testing.T, stopped func(t *testing.T) (took time.Duration)) {
	t.Helper()
	for try := 1; stopped(t) >= endTime; try++ {
		require.Less(t, try, 20, "the worker takes longer than %s", endTime)
	}
}

// stop sends a signal and waits for the end of the process, which must be a good one.
func (p *workerProcess) stop(t *testing.T, signal os.Signal) (took time.Duration) {
	t.Helper()
	start := time.Now()
	require.NoError(t, p.command.Process.Signal(signal))
	<-p.ended
	took = time.Since(start)
	require.Equal(t, exitOK, p.command.ProcessState.ExitCode(), p.logged())
	require.Contains(t, p.logged(), `msg="worker stopped"`)
	return took
}

func TestProcessSignalEndsIt(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		signal os.Signal
		args   []string
		before []string
	}{
		"SIGTERM":       {syscall.SIGTERM, nil, []string{statusStarting, statusReady}},
		"SIGINT":        {syscall.SIGINT, nil, []string{statusStarting, statusReady}},
		"while loading": {syscall.SIGTERM, []string{"--load-time", "1h"}, []string{statusStarting}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) time.Duration {
				queen := startQueen(t)
				p := startProcess(t, nil, append(test.args, "--queen-url", queen.url)...)
				queen.until(t, test.before[len(test.before)-1])
				took := p.stop(t, test.signal)
				if took < endTime { // else it was given up
					beat, _ := queen.until(t, statusStopped)
					require.Equal(t, p.command.Process.Pid, beat.Worker.PID)
					require.Empty(t, queen.beats, "stopped is the last heartbeat")
				}
				return took
			})
		})
	}
}

// The next token is an hour away, so the stream can only be cut: its client is told, and the end is in time.
func TestProcessSignalCutsStreams(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) time.Duration {
		queen := startQueen(t)
		p := startProcess(t, nil, "--token-time", "1h", "--queen-url", queen.url)
		queen.until(t, statusReady)
		stream := openStream(t.Context(), t, p.client, p.url, prompt("Hello", `"stream":true`))
		require.True(t, stream.next(t), "the role")
		require.True(t, stream.next(t), "the first token")
		queen.until(t, statusBusy)
		took := p.stop(t, syscall.SIGTERM)
		if took < endTime { // else it was given up
			for stream.next(t) {
			}
			last := stream.events[len(stream.events)-1]
			require.Equal(t, "stopping", decode[map[string]apiError](t, last)["error"].Code)
			queen.until(t, statusStopped)
		}
		return took
	})
}

// A connection that never sends its request is closed, too.
func TestProcessSignalClosesSilentConnections(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) time.Duration {
		p := startProcess(t, nil)
		p.awaitReady(t)
		silent, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		require.NoError(t, err)
		defer silent.Close()
		return p.stop(t, syscall.SIGTERM)
	})
}

// Neither a queen that never answers nor one that is not there delays anything.
func TestProcessBadQueen(t *testing.T) {
	t.Parallel()
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		asked := make(chan struct{}, 100)
		release := make(chan struct{})
		queen := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			asked <- struct{}{}
			<-release
		}))
		t.Cleanup(queen.Close)
		t.Cleanup(func() { close(release) })
		inTime(t, func(t *testing.T) time.Duration {
			p := startProcess(t, nil, "--queen-url", queen.URL)
			<-asked
			p.awaitReady(t)
			plainChat(t, p.client, p.url, prompt("Hello"))
			return p.stop(t, syscall.SIGTERM)
		})
	})
	t.Run("absent", func(t *testing.T) {
		t.Parallel()
		queen := httptest.NewServer(http.NotFoundHandler())
		queen.Close()
		inTime(t, func(t *testing.T) time.Duration {
			p := startProcess(t, nil, "--queen-url", queen.URL, "--heartbeat", "1ms")
			p.awaitReady(t)
			for range 20 {
				plainChat(t, p.client, p.url, prompt("Hello"))
			}
			took := p.stop(t, syscall.SIGTERM)
			require.Equal(t, 1, strings.Count(p.logged(), "queen not reachable"), p.logged())
			return took
		})
	})
}
