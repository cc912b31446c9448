//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/fakeserver"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// The manifests of deploy/workers, installed as the guide says, start what they say when a job asks for them, with a server in
// the place of the real one that knows the flags which they use and no others. It serves the job's model under its name on
// the one GPU of the job, and when it is deleted nothing of it is left.
func TestTheManifestsStartTheirServers(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/workers/*/worker.json")
	require.NoError(t, err)
	require.Len(t, files, 6)
	for _, direct := range []bool{false, true} { // the two of one server have one name
		t.Run(fmt.Sprintf("direct=%t", direct), func(t *testing.T) {
			t.Parallel()
			server := natstest.Server(t)
			m := newMachine(t, server.URL(), "gpu-1", 40)
			m.installServers()
			var found []*shipped
			for _, file := range files {
				if strings.Contains(file, "-direct/") == direct {
					found = append(found, m.installManifest(file))
				}
			}
			require.Len(t, found, 3)
			m.serve(withGPUs(), "HF_TOKEN=hf_secret", "LLAMA_ARG_REUSE_PORT=1", "VLLM_PORT=1", "RBEE_PASS_ENV=LLAMA_ARG_REUSE_PORT,VLLM_PORT",
				"RBEE_QUEEN_URL=http://127.0.0.1:1")
			nc := natstest.Dial(t, server.URL())
			for _, s := range found {
				t.Run(s.manifest.Name, func(t *testing.T) { s.serves(t, nc) })
			}
		})
	}
}

// shipped is a manifest of deploy/workers.
type shipped struct {
	manifest *catalog.Manifest
	server   string // the program that it is about
	adapter  bool
}

// installServers puts the programs that the manifests name below the machine's directory. That of vLLM is a script, as it is in
// truth, and its engine outlives it (vllm#55510).
func (m *machine) installServers() {
	m.t.Helper()
	for _, path := range []string{"opt/llama.cpp/b6795/llama-server", "opt/llama.cpp/b6795-cuda/llama-server", "opt/vllm/0.30.0/bin/vllm", "usr/local/bin/llm-worker"} {
		require.NoError(m.t, os.MkdirAll(filepath.Dir(m.path(path)), 0o755))
		switch filepath.Base(path) {
		case "llm-worker":
			require.NoError(m.t, os.Link(filepath.Join(programs, "llm-worker"), m.path(path)))
		case "vllm":
			script := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\" --play-engine\n", filepath.Join(programs, "server"))
			require.NoError(m.t, os.WriteFile(m.path(path), []byte(script), 0o755))
		default:
			require.NoError(m.t, os.Link(filepath.Join(programs, "server"), m.path(path)))
		}
	}
}

// installManifest installs a manifest of deploy/workers with the paths of this machine's programs in it.
func (m *machine) installManifest(file string) *shipped {
	m.t.Helper()
	asShipped, err := catalog.ReadManifest(file)
	require.NoError(m.t, err)
	s := &shipped{manifest: asShipped, adapter: asShipped.Binary == "/usr/local/bin/llm-worker"}
	s.check(m.t, filepath.Base(filepath.Dir(file)))

	data, err := os.ReadFile(file)
	require.NoError(m.t, err)
	ours := m.path("shipped", filepath.Base(filepath.Dir(file)), "worker.json")
	require.NoError(m.t, os.MkdirAll(filepath.Dir(ours), 0o755))
	text := strings.NewReplacer(`"/opt/`, `"`+m.path("opt")+"/", `"/usr/local/`, `"`+m.path("usr/local")+"/").Replace(string(data))
	require.NoError(m.t, os.WriteFile(ours, []byte(text), 0o644))
	add := exec.Command(filepath.Join(programs, "rbee-hive"), "catalog", "add", ours)
	add.Env = m.environment()
	out, err := add.CombinedOutput()
	require.NoError(m.t, err, string(out))
	require.Contains(m.t, string(out), "installed "+asShipped.Name+" "+asShipped.Version+" in ")
	s.server = filepath.Base(s.server)
	return s
}

// check looks at what no start shows.
func (s *shipped) check(t *testing.T, dir string) {
	t.Helper()
	m := s.manifest
	require.Equal(t, strings.TrimSuffix(dir, "-direct"), m.Name)
	require.Equal(t, !strings.HasSuffix(dir, "-direct"), s.adapter, "the adapter's are not called direct")
	s.server = m.Binary
	if at := slices.Index(m.Args, "--"); s.adapter {
		require.Positive(t, at)
		s.server = m.Args[at+1]
		require.Equal(t, []string{s.server}, m.Files, "the hive looks whether the server is there")
		grace, err := time.ParseDuration(m.Args[slices.Index(m.Args, "--backend-grace")+1])
		require.NoError(t, err)
		require.Less(t, grace, time.Duration(m.Stop.Grace), "the adapter ends its server before the hive ends both")
	}
	require.True(t, strings.HasPrefix(s.server, "/opt/") && strings.Contains(s.server, m.Version), "%s: the path holds the version", s.server)
	require.Equal(t, catalog.Health{Path: "/health", Status: http.StatusOK}, m.Health)
	require.Equal(t, "SIGTERM", m.Stop.Signal)
}

// serves has a job start the worker, asks it, and deletes it.
func (s *shipped) serves(t *testing.T, nc *nats.Conn) {
	m, id := s.manifest, "w-"+s.manifest.Name
	const model = "org/model 7B ${port} $${x} 'q' \"d\""
	device, workerType := "cuda:1", "CudaLlm"
	if m.WorkerType == "CpuLlm" {
		device, workerType = "cpu", "CpuLlm"
	}
	job := fmt.Sprintf(`{"job_id":"job-%s","worker_id":%q,"worker":%q,"model":%q,"device":%q,"wait":"ready"}`, m.Name, id, m.Name, model, device)
	a := spawn(t, nc, "gpu-1", job)
	require.Equal(t, []string{m.Name, m.Version, "catalog", workerType, device, model}, []string{a.Worker, a.Version, a.Source, a.WorkerType, a.Device, a.Model})
	binary := s.server
	if s.adapter {
		binary = "llm-worker"
	}
	require.Equal(t, binary, filepath.Base(a.BinaryPath))
	w := getReady(t, nc, id)
	require.Equal(t, []any{"ready", a.PID, a.Port, m.Name, m.Version, a.BinaryPath, model}, []any{w.State, w.PID, w.Port, w.Worker, w.Version, w.BinaryPath, w.Model})

	require.Equal(t, []string{"an", "answer"}, completion(t, a.Port, "an answer"))
	require.Contains(t, fetch(t, a.Port, "/v1/models"), fmt.Sprintf("%q", model))
	var told fakeserver.Told
	require.NoError(t, json.Unmarshal([]byte(fetch(t, a.Port, "/v1/told")), &told))
	s.checkTold(t, a, told, device, model)

	pids := []int{a.PID, told.PID}
	body := fmt.Sprintf(`{"worker_id":%q}`, id)
	if told.Engine != 0 { // it hears nothing: the manifest's grace would pass
		pids = append(pids, told.Engine)
		body = fmt.Sprintf(`{"worker_id":%q,"grace_ms":100}`, id)
	}
	d := remove(t, nc, body)
	require.Equal(t, a.PID, d.PID)
	require.Equal(t, w.Processes, d.Processes)
	for _, pid := range pids {
		require.False(t, alive(pid), "%d of %v", pid, pids)
	}
	requireFree(t, a.Port)
}

// checkTold compares what the server was started with, to the last argument.
func (s *shipped) checkTold(t *testing.T, a answer, told fakeserver.Told, device, model string) {
	t.Helper()
	port, script := fmt.Sprint(a.Port), s.server == "vllm"
	if s.adapter {
		port = told.Args[slices.Index(told.Args, "--port")+1]
		require.NotEqual(t, fmt.Sprint(a.Port), port)
	}
	var want []string
	switch {
	case script:
		want = []string{"serve", model, "--served-model-name", model, "--host", "127.0.0.1", "--port", port, "--disable-uvicorn-access-log", "--play-engine"}
	case device == "cpu":
		want = []string{"--model", "/srv/models/" + model + ".gguf", "--alias", model, "--host", "127.0.0.1", "--port", port, "--device", "none", "-ngl", "0"}
	default:
		want = []string{"--model", "/srv/models/" + model + ".gguf", "--alias", model, "--host", "127.0.0.1", "--port", port, "-ngl", "99"}
	}
	require.Equal(t, want, told.Args[1:])
	env := strings.Join(append([]string{""}, told.Env...), "\n") + "\n"
	require.Contains(t, env, "\nRBEE_WORKER_ID="+a.WorkerID+"\n")
	require.Equal(t, device != "cpu", strings.Contains(env, "\nCUDA_VISIBLE_DEVICES=1\n"))
	require.Contains(t, env, "\nCUDA_DEVICE_ORDER=PCI_BUS_ID\n")
	require.Equal(t, script, strings.Contains(env, "\nHF_TOKEN=hf_secret\n"), "it is passed to vLLM alone")
	require.Equal(t, script || s.adapter, !strings.Contains(env, "\nVLLM_PORT="), "the hive passes both on to all")
	require.Equal(t, !script || s.adapter, !strings.Contains(env, "\nLLAMA_ARG_"))
	require.NotContains(t, env, "\nNATS_")
	require.Equal(t, script, told.Engine != 0)
}

// fetch returns what a worker answers.
func fetch(t *testing.T, port int, path string) string {
	t.Helper()
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(body))
	return string(body)
}
