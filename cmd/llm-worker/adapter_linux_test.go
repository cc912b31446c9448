package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/fakeserver"
)

// adapted is an adapter in a process of its own, with a backend behind it. When its test ends, nothing of it is left.
type adapted struct {
	*workerProcess
	all []int // the pids that were seen
}

// startAdapter starts an adapter: flags are its own, play those of the backend.
func startAdapter(t *testing.T, env, flags, play []string) *adapted {
	t.Helper()
	a := &adapted{}
	t.Cleanup(func() { // behind the end of the process, which comes first
		for _, pid := range a.all {
			assert.Eventually(t, func() bool { return !living(pid) }, patience, 2*time.Millisecond, "process %d lives on", pid)
		}
	})
	args := append([]string{"--backend", "--backend-grace", "200ms"}, flags...)
	args = append(args, "--", os.Args[0], fakeserver.Play, "--model", "${model}", "--alias", "${model}", "--port", "${backend_port}")
	a.workerProcess = startProcess(t, env, append(args, play...)...)
	return a
}

const patience = time.Minute

// living reports whether the process is there and has not ended.
func living(pid int) bool {
	state, _ := stat(pid)
	return state != "" && state != "Z" && state != "X"
}

func stat(pid int) (state string, parent int) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	fields := strings.Fields(string(line[strings.LastIndexByte(string(line), ')')+1:]))
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

// backend waits until the backend was started, and returns it and its guard.
func (a *adapted) backend(t *testing.T) (b backendAnswer, guard int) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, body := ask(t, a.client, http.MethodGet, a.url+"/info", "")
		b = *decode[infoAnswer](t, body).Backend
		return b.PID != 0
	}, patience, 2*time.Millisecond)
	_, guard = stat(b.PID)
	a.all = append(a.all, b.PID, guard)
	return b, guard
}

// play asks something of the backend itself.
func (a *adapted) play(t *testing.T, what string) {
	t.Helper()
	b, _ := a.backend(t)
	response, err := a.client.Post(fmt.Sprintf("http://127.0.0.1:%d/play/%s", b.Port, what), "", nil)
	if err == nil { // it may have ended over it
		require.NoError(t, response.Body.Close())
	}
}

// told asks the backend what it was told, through the adapter.
func (a *adapted) told(t *testing.T) fakeserver.Told {
	t.Helper()
	code, body := ask(t, a.client, http.MethodGet, a.url+"/v1/told", "")
	require.Equal(t, http.StatusOK, code, body)
	told := decode[fakeserver.Told](t, body)
	if told.Engine != 0 {
		a.all = append(a.all, told.Engine)
	}
	return told
}

// health waits until the health check answers so.
func (a *adapted) health(t *testing.T, code int) {
	t.Helper()
	require.Eventually(t, func() bool {
		got, _ := ask(t, a.client, http.MethodGet, a.url+"/health", "")
		return got == code
	}, patience, 5*time.Millisecond)
}

// exit waits for the end of the adapter and returns how it ended.
func (a *adapted) exit(t *testing.T) syscall.WaitStatus {
	t.Helper()
	select {
	case <-a.ended:
	case <-time.After(patience):
		require.Fail(t, "the adapter does not end", a.logged())
	}
	return a.command.ProcessState.Sys().(syscall.WaitStatus)
}

func TestAdapterFollowsItsBackend(t *testing.T) {
	t.Parallel()
	queen := startQueen(t)
	hold := filepath.Join(t.TempDir(), "loaded")
	a := startAdapter(t, nil, []string{"--queen-url", queen.url}, []string{"--play-hold", hold})
	b, _ := a.backend(t)
	beat, _ := queen.until(t, statusStarting)
	require.Equal(t, "llm-worker+"+filepath.Base(os.Args[0]), beat.Worker.Implementation)
	code, body := ask(t, a.client, http.MethodGet, a.url+"/health", "")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.JSONEq(t, `{"status":"starting","worker_id":"worker-1"}`, body)
	code, body = ask(t, a.client, http.MethodPost, a.url+chatPath, prompt("Hello"))
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "model_loading")

	require.NoError(t, os.WriteFile(hold, nil, 0o600))
	queen.until(t, statusReady)
	a.awaitReady(t)
	a.health(t, http.StatusOK)
	info := decode[infoAnswer](t, second(ask(t, a.client, http.MethodGet, a.url+"/info", "")))
	require.Equal(t, aboutBackend, info.About)
	require.Equal(t, backendAnswer{Program: os.Args[0], PID: b.PID, Port: b.Port, Health: "/health", Status: 200}, *info.Backend)
	require.Contains(t, a.logged(), "proven=true")
	require.Contains(t, a.logged(), "fakeserver: loading org/model", "its output is in the same log")

	// Busy as long as a request runs.
	answered := make(chan string)
	go func() {
		response, err := a.client.Post(a.url+chatPath, "application/json", strings.NewReader(prompt("slowly done")))
		if assert.NoError(t, err) {
			defer response.Body.Close()
			answered <- response.Status
		}
		close(answered)
	}()
	queen.until(t, statusBusy)
	a.play(t, "next")
	require.Equal(t, "200 OK", <-answered)
	queen.until(t, statusReady)

	require.NoError(t, a.command.Process.Signal(syscall.SIGTERM))
	require.Equal(t, exitOK, a.exit(t).ExitStatus(), a.logged())
	require.False(t, living(b.PID))
	queen.until(t, statusStopped)
	require.Contains(t, a.logged(), "fakeserver: stopped", "it heard SIGTERM, too")
}

func TestAdapterFaltersWithItsBackend(t *testing.T) {
	t.Parallel()
	queen := startQueen(t)
	a := startAdapter(t, nil, []string{"--queen-url", queen.url}, nil)
	queen.until(t, statusReady)
	a.play(t, "health/500")
	queen.until(t, statusStarting)
	a.health(t, http.StatusServiceUnavailable)
	require.Contains(t, a.logged(), "its health check answers 500")
	code, body := ask(t, a.client, http.MethodPost, a.url+chatPath, prompt("Hello"))
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "not for the moment")
	a.play(t, "health/200")
	queen.until(t, statusReady)
	a.health(t, http.StatusOK)
}

// What a value contains is never looked at again, and is one argument.
func TestAdapterTellsItsBackend(t *testing.T) {
	t.Parallel()
	const odd = `a b "c" ${device} %{model} $(id) ;` + "`"
	env := []string{"LLAMA_ARG_PORT=1", "LLAMA_ARG_MODEL=other", "VLLM_PORT=1", "KEPT=yes", "GONE=no", "RBEE_WORKER_ID=worker-1"}
	flags := []string{
		"--model", odd, "--device", "GPU-3", "--backend-env", "CUDA_VISIBLE_DEVICES=${device_index}", "--backend-env", "GONE=",
		"--backend-env", "LLAMA_ARG_THREADS=2",
	}
	a := startAdapter(t, env, flags, []string{"--host", "127.0.0.1", "--model", "/m/${model}.gguf"})
	a.health(t, http.StatusOK)
	b, guard := a.backend(t)
	told := a.told(t)
	port := strconv.Itoa(b.Port)
	require.Equal(t, []string{
		os.Args[0], fakeserver.Play, "--model", odd, "--alias", odd, "--port", port, "--host", "127.0.0.1", "--model", "/m/" + odd + ".gguf",
	}, told.Args)
	require.Subset(t, told.Env, []string{"KEPT=yes", "CUDA_VISIBLE_DEVICES=3", "LLAMA_ARG_THREADS=2", "RBEE_WORKER_ID=worker-1", "RBEE_HIVE_ID=gpu-1"})
	for _, entry := range told.Env {
		name, _, _ := strings.Cut(entry, "=")
		require.NotContains(t, []string{"LLAMA_ARG_PORT", "LLAMA_ARG_MODEL", "VLLM_PORT", "GONE"}, name)
	}
	require.NotEqual(t, a.command.Process.Pid, guard)
	_, parent := stat(guard)
	require.Equal(t, a.command.Process.Pid, parent)
}

// A stranger has the port before the backend does, and answers like one that serves.
func TestAdapterProvesItsBackend(t *testing.T) {
	t.Parallel()
	note := filepath.Join(t.TempDir(), "port")
	a := startAdapter(t, nil, nil, []string{"--play-note", note})
	var port string
	require.Eventually(t, func() bool {
		data, _ := os.ReadFile(note)
		port = string(data)
		return port != ""
	}, patience, time.Millisecond)
	asked := make(chan string, 100)
	stranger := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path })}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	go func() { _ = stranger.Serve(listener) }()
	t.Cleanup(func() { _ = stranger.Close() })

	require.Equal(t, "/health", <-asked)
	require.Eventually(t, func() bool { return strings.Contains(a.logged(), "trying another") }, patience, time.Millisecond)
	require.NotContains(t, a.logged(), "worker ready")
	require.NoError(t, os.WriteFile(note+".go", nil, 0o600))
	a.health(t, http.StatusOK)
	b, _ := a.backend(t)
	require.NotEqual(t, port, strconv.Itoa(b.Port))
	require.Contains(t, plainAnswer(t, a, prompt("of the backend")), "of the backend")
	for len(asked) > 0 {
		require.Equal(t, "/health", <-asked, "no request went to the stranger")
	}
}

// plainAnswer returns the body of a completion.
func plainAnswer(t *testing.T, a *adapted, body string) string {
	t.Helper()
	code, answer := ask(t, a.client, http.MethodPost, a.url+chatPath, body)
	require.Equal(t, http.StatusOK, code, answer)
	return answer
}

// Each piece arrives when it is sent: the next is not sent before the one in hand is asked for.
func TestAdapterPassesStreams(t *testing.T) {
	t.Parallel()
	a := startAdapter(t, nil, nil, nil)
	a.health(t, http.StatusOK)
	require.Contains(t, plainAnswer(t, a, prompt("all of it")), `"content":"all of it"`)
	stream := openStream(t.Context(), t, a.client, a.url, prompt("slowly one two three", `"stream":true`))
	for _, word := range []string{"one", "two", "three"} {
		a.play(t, "next")
		require.True(t, stream.next(t), "%v %s", stream.lines.Err(), a.logged())
		require.Contains(t, stream.events[len(stream.events)-1], `"content":"`+word+`"`)
	}
	require.True(t, stream.next(t))
	require.Equal(t, "[DONE]", stream.events[3])
	require.False(t, stream.next(t))
}

func TestAdapterPassesTheClientsLeaving(t *testing.T) {
	t.Parallel()
	a := startAdapter(t, nil, nil, nil)
	a.health(t, http.StatusOK)
	for name, fields := range map[string][]string{"plain": nil, "streamed": {`"stream":true`}} {
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() {
			defer close(left)
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+chatPath, strings.NewReader(prompt("slowly on", fields...)))
			if !assert.NoError(t, err, name) {
				return
			}
			response, err := a.client.Do(request)
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			assert.ErrorIs(t, err, context.Canceled, name)
		}()
		a.status(t, statusBusy)
		a.play(t, "begun") // answered when the backend has the request
		leave()
		<-left
		a.play(t, "left") // answered when the backend has seen it
		a.status(t, statusReady)
	}
}

// status waits until the health check tells the status.
func (a *adapted) status(t *testing.T, status string) {
	t.Helper()
	if !assert.Eventually(t, func() bool {
		_, body := ask(t, a.client, http.MethodGet, a.url+"/health", "")
		return strings.Contains(body, status)
	}, patience, time.Millisecond) {
		require.Fail(t, "not "+status, a.logged())
	}
}

func TestAdapterPassesHeadersOn(t *testing.T) {
	t.Parallel()
	a := startAdapter(t, nil, nil, nil)
	a.health(t, http.StatusOK)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, a.url+"/v1/told?a=b%20c", strings.NewReader("body"))
	require.NoError(t, err)
	for name, value := range map[string]string{"Authorization": "Bearer key", "Accept-Encoding": "br", "X-Forwarded-For": "forged", "Te": "trailers"} {
		request.Header.Set(name, value)
	}
	response, err := a.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, "fakeserver", response.Header.Get("X-Backend"))
	b, _ := a.backend(t)
	var body strings.Builder
	require.NoError(t, response.Write(&body))
	told := decode[fakeserver.Told](t, body.String()[strings.Index(body.String(), "{"):])
	require.Equal(t, fmt.Sprintf("PUT /v1/told?a=b%%20c 127.0.0.1:%d", b.Port), told.Request)
	require.Equal(t, "body", told.Body)
	require.Equal(t, []string{"Bearer key"}, told.Header["Authorization"])
	require.Equal(t, []string{"br"}, told.Header["Accept-Encoding"])
	require.Equal(t, []string{"127.0.0.1"}, told.Header["X-Forwarded-For"])

	code, answer := ask(t, a.client, http.MethodGet, a.url+"/play/left", "")
	require.Equal(t, http.StatusNotFound, code, "only /v1/ is passed on: "+answer)
}
