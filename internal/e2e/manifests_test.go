//go:build linux

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/fakeserver"
	"github.com/rbee-keeper/hive/internal/proctest"
)

// manifest is what the manifests of deploy/workers hold, and all that they do.
type manifest struct {
	Name        string      `json:"name"`
	Version     string      `json:"version"`
	Description string      `json:"description"`
	WorkerType  string      `json:"worker_type"`
	Devices     []string    `json:"devices"`
	Binary      string      `json:"binary"`
	Args        []string    `json:"args"`
	Files       []string    `json:"files"`
	Env         manifestEnv `json:"env"`
	Health      struct {
		Path   string
		Status int
	} `json:"health"`
	Stop struct{ Signal, Grace string } `json:"stop"`
}

type manifestEnv struct {
	Set         map[string]string
	Pass, Strip []string
}

// The manifests of deploy/workers start what they say, with a server in the place of the real one that knows the flags which
// they use and no others: it serves the job's model under its name on the one GPU of the job.
func TestTheManifestsStartTheirServers(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/workers/*/worker.json")
	require.NoError(t, err)
	require.Len(t, files, 6)
	port, _ := leasePorts(t, len(files))
	for i, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			t.Parallel()
			startManifest(t, file, port+i)
		})
	}
}

func startManifest(t *testing.T, file string, port int) {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var m manifest
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&m))
	require.Equal(t, strings.TrimSuffix(filepath.Base(filepath.Dir(file)), "-direct"), m.Name)
	require.Equal(t, "/health", m.Health.Path)
	require.Equal(t, http.StatusOK, m.Health.Status)
	grace, err := time.ParseDuration(m.Stop.Grace)
	require.NoError(t, err)

	const model = "org/model 7B $${x}"
	device := "cuda:1"
	if m.WorkerType == "CpuLlm" {
		device = "cpu"
	}
	values := strings.NewReplacer("$${", "${", "${worker_id}", "w1", "${model}", model, "${device}", device, "${device_index}", "1",
		"${port}", strconv.Itoa(port), "${queen_url}", "")
	var args []string
	for i, arg := range m.Args {
		if arg == "--backend-grace" {
			own, err := time.ParseDuration(m.Args[i+1])
			require.NoError(t, err)
			require.Less(t, own, grace, "the adapter kills before the hive does")
		}
		if strings.HasPrefix(arg, "/opt/") {
			require.Contains(t, m.Files, arg)
			require.Contains(t, arg, m.Version)
			arg = filepath.Join(programs, "server")
		}
		args = append(args, values.Replace(arg))
	}
	cmd := exec.Command(filepath.Join(programs, "server"), args...)
	if m.Binary == "/usr/local/bin/llm-worker" {
		cmd.Path = filepath.Join(programs, "llm-worker")
	} else {
		require.True(t, strings.HasPrefix(m.Binary, "/opt/") && strings.Contains(m.Binary, m.Version), m.Binary)
	}
	cmd.Env = []string{"RBEE_WORKER_ID=w1"}
	for name, value := range m.Env.Set {
		cmd.Env = append(cmd.Env, name+"="+values.Replace(value))
	}
	p := proctest.StartCommand(t, cmd)
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		response, err := http.Get(base + m.Health.Path)
		return err == nil && response.Body.Close() == nil && response.StatusCode == m.Health.Status
	}, patience, 5*time.Millisecond, "%s", p.Said())
	require.Equal(t, []string{"an", "answer"}, completion(t, port, "an answer"))

	response, err := http.Get(base + "/v1/models")
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Contains(t, string(body), strconv.Quote(model))

	response, err = http.Get(base + "/v1/told")
	require.NoError(t, err)
	defer response.Body.Close()
	var told fakeserver.Told
	require.NoError(t, json.NewDecoder(response.Body).Decode(&told))
	if device != "cpu" {
		require.Subset(t, told.Env, []string{"CUDA_VISIBLE_DEVICES=1", "CUDA_DEVICE_ORDER=PCI_BUS_ID"})
	}
	p.Signal(os.Interrupt)
	code, said := p.Exit()
	require.Zero(t, code, said)
	require.Contains(t, said, "fakeserver: stopped")
}
