//go:build linux

package spawner_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// A dry run tells what the job then does, but for its port, and leaves nothing.
func TestExplainTellsWhatIsStarted(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.installManifest("server", "b12", strings.ReplaceAll(serverManifest, `"GPU": "${device_uuid}", `, `"PORT": "${port}", `))
	h.install("server", "b9")
	require.NoError(t, os.Mkdir(filepath.Join(h.cfg.CatalogDir, "server-vb13-linux"), 0o755))
	j := job("j", "server")
	j.Worker, j.DryRun = "server", true
	plan, err := h.Explain(t.Context(), j)
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Join(h.cfg.RunDir, "workers", j.WorkerID))
	require.Equal(t, "it is the highest of 3 versions that can be started", plan.Why)
	require.Len(t, plan.Skipped, 1)
	require.Equal(t, filepath.Join(h.cfg.CatalogDir, "server-vb13-linux"), plan.Skipped[0].Path)
	require.Equal(t, []any{"SIGINT", int64(9000), "/status?of=all", 204}, []any{plan.StopSignal, plan.StopGraceMS, plan.HealthPath, plan.HealthStatus})
	require.Contains(t, plan.Env, "RBEE_PORT=${port}")

	j.DryRun = false
	got := h.spawn(j)
	require.Nil(t, got.err)
	port := strconv.Itoa(got.result.Port)
	log := awaitLog(t, got.result.LogPath, "end of env")
	for i := range plan.Args {
		plan.Args[i] = strings.ReplaceAll(plan.Args[i], "${port}", port)
	}
	require.Contains(t, log, strings.Join(append([]string{plan.BinaryPath}, plan.Args...), "\n")+"\n")
	for _, entry := range plan.Env {
		require.Contains(t, log, "\n"+strings.ReplaceAll(entry, "${port}", port)+"\n")
	}
}

func TestExplainHidesSecrets(t *testing.T) {
	for name, value := range map[string]string{"HF_TOKEN": "hunter2", "PROXY": "hunter2", "OWN": "hunter2", "NATS_CREDS": "hunter2"} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	cfg := spawner.Config{
		HiveID: "gpu-1", RunDir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log"), CatalogDir: filepath.Join(dir, "catalog"),
		PassEnv: []string{"PROXY"}, QueenURL: "http://me:hunter2@queen:8500",
	}
	h := &hive{t: t, cfg: cfg}
	h.installManifest(cpuWorker, "1.0.0", `{"env":{"pass":["HF_TOKEN","OWN"],"set":{"API_KEY":"hunter2","PLAIN":"shown"}}}`)
	explainer, err := spawner.NewExplainer(cfg)
	require.NoError(t, err)
	plan, err := explainer.Explain(t.Context(), messages.Job{Model: "s3://key:hunter2@bucket/m", Device: "cpu"})
	require.NoError(t, err)
	data, err := plan.Encode()
	require.NoError(t, err)
	require.NotContains(t, string(data), "hunter2")
	for _, entry := range []string{"HF_TOKEN=…", "PROXY=…", "OWN=…", "API_KEY=…", "PLAIN=shown", "RBEE_WORKER_ID=${worker_id}"} {
		require.Contains(t, plan.Env, entry)
	}
	require.Equal(t, "it is the only version", plan.Why)
	require.NoDirExists(t, cfg.RunDir, "it needs no run directory")
	require.NoDirExists(t, cfg.LogDir)
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	for i := range 3 {
		h.install("server", "b"+strconv.Itoa(i))
	}
	h.installManifest("server", "1.0.0-rc.1", `{"devices":["cpu"],"description":"a candidate","sha256":"`+strings.Repeat("0", 64)+`"}`)
	h.installManifest("server", "2.0.0-rc.1", `{"xame":1}`)
	require.NoError(t, catalog.Open(h.cfg.CatalogDir).Pin("server", "b1"))
	page, err := h.Catalog(t.Context(), messages.CatalogRequest{})
	require.NoError(t, err)
	require.Equal(t, h.cfg.CatalogDir, page.CatalogDir)
	require.Zero(t, page.Next)
	var got []string
	for _, entry := range page.Entries {
		var text strings.Builder
		text.WriteString(entry.Worker + " " + entry.Version)
		for word, is := range map[string]bool{" pinned": entry.Pinned, " manifest": entry.Manifest, " problem": entry.Problem != ""} {
			if is {
				text.WriteString(word)
			}
		}
		if entry.Chosen {
			text.WriteString(" chosen")
		}
		got = append(got, text.String())
	}
	require.Equal(t, []string{
		cpuWorker + " 0.1.0 chosen", "cuda-llm-worker-rbee 0.1.0 chosen", "server 1.0.0-rc.1 manifest", "server b2", "server b1 pinned chosen", "server b0",
		"server 2.0.0-rc.1 problem",
	}, got)
	candidate := page.Entries[2]
	require.Equal(t, []string{"cpu"}, candidate.Devices)
	require.Equal(t, "a candidate", candidate.Description)
	require.Equal(t, strings.Repeat("0", 64), candidate.SHA256)
	require.Positive(t, candidate.Size)
	require.Contains(t, page.Entries[6].Problem, "worker.json:1:2: xame")

	rest, err := h.Catalog(t.Context(), messages.CatalogRequest{Skip: 5})
	require.NoError(t, err)
	require.Equal(t, page.Entries[5:], rest.Entries)

	require.NoError(t, os.RemoveAll(page.Entries[4].Dir))
	page, err = h.Catalog(t.Context(), messages.CatalogRequest{})
	require.NoError(t, err)
	require.Equal(t, messages.CatalogEntry{
		Dir: filepath.Join(h.cfg.CatalogDir, "server-vb1-linux"), Worker: "server", Version: "b1", Pinned: true,
		Problem: "is pinned and not installed, so jobs that name no version fail: install it, or unpin the worker",
	}, page.Entries[len(page.Entries)-1])
	require.NoError(t, os.Chmod(h.cfg.CatalogDir, 0o777))
	_, err = h.Catalog(t.Context(), messages.CatalogRequest{})
	require.ErrorIs(t, err, messages.BinaryInvalid)
}

func TestRunning(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	none, err := spawner.Running(filepath.Join(h.cfg.RunDir, "none"))
	require.NoError(t, err)
	require.Empty(t, none)
	first, second := h.spawn(job("a", "live")), h.spawn(job("b", "live"))
	require.Nil(t, first.err)
	running, err := spawner.Running(h.cfg.RunDir)
	require.NoError(t, err)
	require.Len(t, running, 2)
	require.True(t, slices.ContainsFunc(running, func(r messages.Result) bool {
		return r.WorkerID == first.result.WorkerID && r.Worker == cpuWorker && r.Version == "0.1.0"
	}))
	_, err = h.Delete(t.Context(), messages.DeleteJob{JobID: "d", HiveID: "gpu-1", WorkerID: first.result.WorkerID}, func(messages.Event) {})
	require.NoError(t, err)
	running, err = spawner.Running(h.cfg.RunDir)
	require.NoError(t, err)
	require.Len(t, running, 1)
	require.Equal(t, second.result.WorkerID, running[0].WorkerID)
}
