package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// workerProcess is a worker in a process of its own. It is dead when its test ends.
type workerProcess struct {
	command *exec.Cmd
	url     string // http://127.0.0.1:<port>
	client  *http.Client
	ready   chan struct{} // closed when the log says that it serves
	ended   chan struct{} // closed when the process and its log have ended

	mu  sync.Mutex
	log strings.Builder
}

// startProcess starts a worker as a hive does, on a free port, with an environment of its own.
func startProcess(t *testing.T, env []string, args ...string) *workerProcess {
	t.Helper()
	p := &workerProcess{
		command: exec.Command(os.Args[0], append([]string{
			"--worker-id", "worker-1", "--model", "org/model", "--device", "cpu", "--port", "0",
		}, args...)...),
		client: &http.Client{Transport: &http.Transport{}},
		ready:  make(chan struct{}),
		ended:  make(chan struct{}),
	}
	t.Cleanup(p.client.CloseIdleConnections)
	// The race detector makes a process sleep for a second at its end, which would hide how long the worker takes.
	p.command.Env = append([]string{playWorker + "=1", "RBEE_HIVE_ID=gpu-1", "GORACE=atexit_sleep_ms=0"}, env...)
	output, err := p.command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.command.Start())
	listening := make(chan string, 1)
	go func() {
		defer close(p.ended)
		p.read(bufio.NewScanner(output), listening)
		_ = p.command.Wait() // the exit code is in ProcessState
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
	})
	select {
	case address := <-listening:
		p.url = "http://" + address
	case <-p.ended:
	}
	return p
}

// read keeps the log, and tells the address and the readiness that it names.
func (p *workerProcess) read(lines *bufio.Scanner, listening chan<- string) {
	for lines.Scan() {
		p.mu.Lock()
		fmt.Fprintln(&p.log, lines.Text())
		p.mu.Unlock()
		if _, rest, found := strings.Cut(lines.Text(), `msg="worker listening"`); found {
			_, address, _ := strings.Cut(rest, "addr=")
			address, _, _ = strings.Cut(address, " ")
			listening <- address
		}
		if strings.Contains(lines.Text(), `msg="worker ready"`) {
			close(p.ready)
		}
	}
}

// awaitReady waits until the worker serves.
func (p *workerProcess) awaitReady(t *testing.T) {
	t.Helper()
	select {
	case <-p.ready:
	case <-p.ended:
		require.Fail(t, "the worker ended", p.logged())
	}
}

func (p *workerProcess) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// queenServer is a real HTTP server that hears heartbeats.
type queenServer struct {
	url   string
	beats chan heartbeat
}

func startQueen(t *testing.T) *queenServer {
	t.Helper()
	q := &queenServer{beats: make(chan heartbeat, 1000)}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var beat heartbeat
		if r.Method != http.MethodPost || r.URL.Path != "/v1/worker-heartbeat" || json.NewDecoder(r.Body).Decode(&beat) != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		select {
		case q.beats <- beat:
			rw.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done(): // nobody reads any more
		}
	}))
	t.Cleanup(server.Close)
	q.url = server.URL
	return q
}

// until waits for a heartbeat with this status and returns it and the different states before it, in order.
func (q *queenServer) until(t *testing.T, status string) (beat heartbeat, before []string) {
	t.Helper()
	for {
		select {
		case beat = <-q.beats:
		case <-t.Context().Done():
			require.Fail(t, "no heartbeat says "+status)
		case <-time.After(time.Minute):
			require.Fail(t, "no heartbeat says "+status)
		}
		if beat.Worker.Status == status {
			return beat, before
		}
		if len(before) == 0 || before[len(before)-1] != beat.Worker.Status {
			before = append(before, beat.Worker.Status)
		}
	}
}

func TestProcessHealthWhileLoadingAndAfter(t *testing.T) {
	t.Parallel()
	loads := startProcess(t, []string{"LLM_WORKER_LOAD_TIME=1h"})
	code, body := ask(t, loads.client, http.MethodGet, loads.url+"/health", "")
	require.Equal(t, http.StatusServiceUnavailable, code, body)
	code, body = ask(t, loads.client, http.MethodPost, loads.url+chatPath, prompt("Hello"))
	require.Equal(t, http.StatusServiceUnavailable, code, body)

	queen := startQueen(t)
	p := startProcess(t, []string{"LLM_WORKER_LOAD_TIME=100ms"}, "--queen-url", queen.url)
	beat, before := queen.until(t, statusReady)
	require.Equal(t, []string{statusStarting}, before)
	code, body = ask(t, p.client, http.MethodGet, p.url+"/health", "")
	require.Equal(t, http.StatusOK, code, body)

	info := decode[infoAnswer](t, second(ask(t, p.client, http.MethodGet, p.url+"/info", "")))
	require.Equal(t, p.command.Process.Pid, info.PID)
	hostname, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, heartbeatWorker{
		ID: "worker-1", ModelID: "org/model", Device: "cpu", Port: info.Port, Status: statusReady,
		Implementation: implementation, Version: info.Version, PID: info.PID, HiveID: "gpu-1", Host: hostname,
	}, beat.Worker)
	sent, err := time.Parse(time.RFC3339Nano, beat.Timestamp)
	require.NoError(t, err)
	require.Equal(t, time.UTC, sent.Location())
	require.WithinDuration(t, time.Now(), sent, time.Minute)
}

func second(_ int, body string) string { return body }

func TestProcessAnswersPlainAndStreamed(t *testing.T) {
	t.Parallel()
	queen := startQueen(t)
	p := startProcess(t, []string{"LLM_WORKER_TOKEN_TIME=5ms", "LLM_WORKER_HEARTBEAT=5ms"}, "--queen-url", queen.url)
	queen.until(t, statusReady)
	plain := plainChat(t, p.client, p.url, prompt("What does the river know?"))
	text, finish := joined(t, streamChat(t, p.client, p.url, prompt("What does the river know?", `"stream":true`)))
	require.Equal(t, string(plain.Choices[0].Message.Content), text)
	require.Equal(t, *plain.Choices[0].FinishReason, finish)
	queen.until(t, statusBusy)
	queen.until(t, statusReady)
}

func TestProcessHeartbeatsGoOn(t *testing.T) {
	t.Parallel()
	queen := startQueen(t)
	startProcess(t, nil, "--queen-url", queen.url, "--heartbeat", "20ms")
	var last time.Time
	for range 10 {
		beat, _ := queen.until(t, statusReady)
		sent, err := time.Parse(time.RFC3339Nano, beat.Timestamp)
		require.NoError(t, err)
		require.True(t, sent.After(last))
		last = sent
	}
}

func TestProcessPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	p := startProcess(t, nil, "--port", port)
	<-p.ended
	require.Equal(t, exitFailure, p.command.ProcessState.ExitCode())
	require.Contains(t, p.logged(), "port "+port+" is in use")
	require.NotContains(t, p.logged(), "listening")
}

func TestProcessWrongUsage(t *testing.T) {
	t.Parallel()
	p := startProcess(t, nil, "--gpu-layers", "99")
	<-p.ended
	require.Equal(t, exitUsage, p.command.ProcessState.ExitCode())
	require.Contains(t, p.logged(), "gpu-layers")
}
