//go:build linux

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// adapt puts the server that is no worker behind an adapter, and the two into the catalog. play is how the server behaves.
func (m *machine) adapt(play string) {
	m.t.Helper()
	entry := m.entry(cpuWorker, "0.2.0") // above the worker of the tests
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\" --backend --backend-grace 300ms -- '%s' --model '/models/${model}.gguf' --alias '${model}' --port '${backend_port}' %s\n",
		filepath.Join(programs, "llm-worker"), filepath.Join(programs, "server"), play)
	require.NoError(m.t, os.WriteFile(entry, []byte(script), 0o755))
}

// queenBeats is a queen's ear: it returns her URL and the states that workers tell.
func queenBeats(t *testing.T) (url string, beats chan messages.Heartbeat) {
	t.Helper()
	beats = make(chan messages.Heartbeat, 1000)
	queen := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if beat, err := messages.DecodeHeartbeat(body); err == nil {
			beats <- beat
		}
	}))
	t.Cleanup(queen.Close)
	return queen.URL, beats
}

// completion asks a worker for a streamed completion and returns its words.
func completion(t *testing.T, port int, text string) (words []string) {
	t.Helper()
	body := fmt.Sprintf(`{"stream":true,"messages":[{"role":"user","content":%q}]}`, text)
	response, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", port), "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		data, found := strings.CutPrefix(lines.Text(), "data: ")
		if !found {
			continue
		}
		if data == "[DONE]" {
			return words
		}
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		require.NoError(t, json.Unmarshal([]byte(data), &chunk))
		words = append(words, chunk.Choices[0].Delta.Content)
	}
	require.Fail(t, "the stream has no end")
	return nil
}

// From a job to its completion to its delete, with a server that knows nothing of hives, that does not hear SIGTERM, and that
// has an engine in a session of its own.
func TestAServerBehindAnAdapterIsAWorker(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.adapt("--play-deaf --play-engine")
	queen, beats := queenBeats(t)
	m.serve("RBEE_QUEEN_URL=" + queen)
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")

	a := spawn(t, wire.nc, "gpu-1", ready("org/some model"))
	require.Equal(t, "0.2.0", a.Version)
	require.Equal(t, []string{"a", "streamed", "answer"}, completion(t, a.Port, "a streamed answer"))
	states := map[messages.Status]bool{}
	for !states[messages.StatusReady] {
		beat := <-beats
		require.Equal(t, []any{"w1", "org/some model", a.Port, a.PID, "gpu-1", "llm-worker+server"},
			[]any{beat.Worker.ID, beat.Worker.ModelID, beat.Worker.Port, beat.Worker.PID, beat.Worker.HiveID, beat.Worker.Implementation})
		states[beat.Worker.Status] = true
	}
	require.True(t, states[messages.StatusStarting])

	before := getReady(t, wire.nc, "w1")
	require.Equal(t, 4, before.Processes, "the adapter, its guard, the server and the server's engine")
	pids := behind(t, a)
	d := remove(t, wire.nc, `{"worker_id":"w1","grace_ms":600}`)
	require.Equal(t, 4, d.Processes)
	for _, pid := range pids {
		require.False(t, alive(pid))
	}
	requireFree(t, a.Port)
	require.Empty(t, list(t, wire.nc, false))
}

// behind returns the processes of an adapter: itself, its guard, the server, the server's engine.
func behind(t *testing.T, a answer) []int {
	t.Helper()
	pids := []int{a.PID}
	for i := 0; i < len(pids); i++ {
		for _, child := range children(pids[i]) {
			pids = append(pids, child.pid)
		}
	}
	require.Len(t, pids, 4)
	return pids
}

// A model that cannot be loaded is the worker's end, with the server's own code and words.
func TestAServerBehindAnAdapterThatFails(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.adapt("--play-exit 3")
	m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "rbee.v1.result.>", "reply.>")
	f := wire.refused("gpu-1", "worker_spawn", ready("m"), "worker_exited", "502")
	require.NotNil(t, f.ExitCode)
	require.Equal(t, 3, *f.ExitCode)
	log := strings.Join(f.LogTail, "\n")
	require.Contains(t, log, "error: failed to load the model: no such tensor")
	require.Regexp(t, `llm-worker: the backend server exited with code 3 after .*, before it served; what it printed stands above$`, log)
}

// A killed adapter takes its server along, and the hive sees that nothing is left.
func TestAKilledAdapterTakesItsServerAlong(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	m := newMachine(t, server.URL(), "gpu-1", 40)
	m.adapt("--play-engine")
	m.serve()
	wire := listen(t, server.URL(), "rbee.v1.narration.>", "reply.>")
	a := spawn(t, wire.nc, "gpu-1", ready("m"))
	pids := behind(t, a)
	process, err := os.FindProcess(a.PID)
	require.NoError(t, err)
	require.NoError(t, process.Kill())
	require.Eventually(t, func() bool { return !slices.ContainsFunc(pids, alive) }, patience, 5*time.Millisecond)
	require.Eventually(t, func() bool { return len(list(t, wire.nc, false)) == 0 }, patience, 5*time.Millisecond)
	requireFree(t, a.Port)
}
