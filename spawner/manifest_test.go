//go:build linux

package spawner_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// played are the arguments by which the test binary knows that it is to play a worker.
const played = `"--worker-id","${worker_id}","--model","${model}","--device","${device}","--port","${port}"`

// installManifest puts the test binary into the catalog, with a manifest.
func (h *hive) installManifest(name, version, manifest string) string {
	h.t.Helper()
	path := h.install(name, version)
	require.NoError(h.t, os.WriteFile(filepath.Join(filepath.Dir(path), catalog.ManifestName), []byte(manifest), 0o644))
	return path
}

// fourCards are NVIDIA GPUs, of which one does not tell its UUID.
const fourCards = twoCards + `2, [N/A], NVIDIA H100 80GB HBM3, 00000000:3A:00.0, 81559, 4, Disabled
3, GPU-3f0c79a1-3b3d-4c0e-9d51-0a4f6c1e7b22, NVIDIA H100 80GB HBM3, 00000000:4A:00.0, 81559, 4, Disabled
`

// serverManifest is that of a server that knows nothing of the worker contract.
const serverManifest = `{
	"args": [` + played + `, "--alias", "${hive_id} ${job_id}", "--gpu=${device_index}", "$${kept}", "${entry_dir}/x"],
	"env": {"set": {"GPU": "${device_uuid}", "HOME": "/nowhere"}, "pass": ["HIVES_OWN", "NOT_SET"], "strip": ["LC_*", "LANG", "TZ"]},
	"health": {"path": "/status?of=all", "status": 204},
	"stop": {"signal": "SIGINT", "grace": "9s"}
}`

func TestManifestSaysHowAWorkerIsStartedAskedAndEnded(t *testing.T) {
	for name, value := range map[string]string{"HIVES_OWN": "passed", "LC_ALL": "C", "LANG": "C", "TZ": "UTC", "SECRET": "kept"} {
		t.Setenv(name, value)
	}
	_, cards := withSMI(t, "out", fourCards)
	h := newHive(t, cards)
	entry := filepath.Dir(h.installManifest("server", "b12", serverManifest))
	j := job("j", "server")
	j.Worker, j.Wait, j.Device = "server", messages.WaitReady, "cuda:3"
	got := h.spawn(j)
	require.Nil(t, got.err)
	require.Equal(t, "server", got.result.Worker)
	require.Equal(t, "b12", got.result.Version)
	require.Equal(t, "CudaLlm", got.result.WorkerType)
	port := strconv.Itoa(got.result.Port)
	log := awaitLog(t, got.result.LogPath, "end of env")
	argv := []string{
		"--worker-id", got.result.WorkerID, "--model", "server", "--device", "cuda:3", "--port", port, "--alias", "gpu-1 j", "--gpu=3", "${kept}",
		entry + "/x",
	}
	require.Contains(t, log, strings.Join(append([]string{got.result.BinaryPath}, argv...), "\n")+"\n")
	for _, line := range []string{
		"GPU=GPU-3f0c79a1-3b3d-4c0e-9d51-0a4f6c1e7b22", "HOME=/nowhere", "HIVES_OWN=passed", "PATH=" + os.Getenv("PATH"), "RBEE_WORKER_ID=" + got.result.WorkerID, "RBEE_JOB_ID=j",
		"RBEE_HIVE_ID=gpu-1", "RBEE_PORT=" + port,
	} {
		require.Contains(t, log, "\n"+line+"\n")
	}
	for _, name := range []string{"LC_ALL=", "LANG=", "TZ=", "SECRET=", "NOT_SET", "HOME=" + os.Getenv("HOME")} {
		require.NotContains(t, log, "\n"+name)
	}
	require.Equal(t, 1, strings.Count(log, "\nHOME="), "no name is there twice")

	// A hive that was started since knows it all, and a manifest that was changed since changes nothing.
	require.NoError(t, os.WriteFile(filepath.Join(entry, catalog.ManifestName), []byte(`{"stop":{"signal":"SIGQUIT"}}`), 0o644))
	h.reopen()
	answer, err := h.Get(t.Context(), messages.GetRequest{WorkerID: got.result.WorkerID})
	require.NoError(t, err)
	require.Equal(t, messages.StateReady, answer.Worker.State)
	page, err := h.List(t.Context(), messages.ListRequest{})
	require.NoError(t, err)
	require.Equal(t, messages.StateReady, page.Workers[0].State)
	var events []messages.Event
	deleted, err := h.Delete(t.Context(), messages.DeleteJob{JobID: "d", HiveID: "gpu-1", WorkerID: got.result.WorkerID}, func(e messages.Event) { events = append(events, e) })
	require.NoError(t, err)
	require.Equal(t, "SIGINT", deleted.Signal)
	require.Equal(t, int64(9000), events[0].Fields.GraceMS)
	require.Contains(t, events[1].Human, "SIGINT sent to 1 process")
}

// The command line that a failure tells is the one that was used.
func TestAWorkerWithAManifestThatExits(t *testing.T) {
	t.Parallel()
	h := newHive(t, func(c *spawner.Config) { c.Watch = time.Minute })
	h.installManifest("w", "1.0.0", `{"args":[`+played+`,"--alias","x y"]}`)
	j := job("j", "exit:3")
	j.Worker = "w"
	got := h.spawn(j)
	require.ErrorIs(t, got.err, messages.WorkerExited)
	require.Equal(t, "--alias x y", strings.Join(got.err.Command[len(got.err.Command)-2:], " "))
	require.Contains(t, got.humans(), "--alias x y")
}

func TestManifestRefusals(t *testing.T) {
	t.Parallel()
	_, cards := withSMI(t, "out", fourCards)
	h := newHive(t, cards)
	h.installManifest("cpu-only", "1.0.0", `{"devices":["cpu"]}`)
	h.installManifest("one-gpu", "1.0.0", `{"devices":["cuda:1"]}`)
	h.installManifest("typed", "1.0.0", `{"worker_type":"CudaLlm"}`)
	h.installManifest("uuid", "1.0.0", `{"env":{"set":{"CUDA_VISIBLE_DEVICES":"${device_uuid}"}}}`)
	h.installManifest("below", "1.0.0", `{"args":["--model","/srv/models/$${model}.gguf"]}`)
	h.installManifest("mistaken", "1.0.0", `{"args":["${mudel}"]}`)
	changed := h.entry("changed", "1.0.0")
	require.NoError(t, os.WriteFile(changed, []byte("#!/bin/sh\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(changed), catalog.ManifestName), []byte(`{"sha256":"`+strings.Repeat("0", 64)+`"}`), 0o644))
	pinned := h.install("pinned", "1.0.0")
	h.install("pinned", "2.0.0")
	require.NoError(t, catalog.Open(h.cfg.CatalogDir).Pin("pinned", "1.0.0"))
	require.NoError(t, os.RemoveAll(filepath.Dir(pinned)))
	for what, test := range map[string]struct {
		worker, device string
		code           messages.Code
		says           string
	}{
		"another device": {"cpu-only", "cuda:0", messages.UnsupportedDevice, "worker cpu-only 1.0.0 serves cpu and not cuda:0"},
		"another GPU":    {"one-gpu", "GPU-0", messages.UnsupportedDevice, "serves cuda:1 and not GPU-0"},
		"another type":   {"typed", "cpu", messages.UnsupportedDevice, "serves cuda and not cpu"},
		"no UUID is known": {
			"uuid", "cuda:2", messages.UnsupportedDevice,
			"worker uuid 1.0.0: env.set.CUDA_VISIBLE_DEVICES: ${device_uuid}: ",
		},
		"a CPU has none":    {"uuid", "cpu", messages.DeviceNotFound, "device cpu has no UUID"},
		"a mistake":         {"mistaken", "cpu", messages.BinaryInvalid, "worker.json:1:10: args[0]: ${mudel} stands for nothing"},
		"another program":   {"changed", "cpu", messages.ChecksumMismatch, "`rbee-hive catalog rm changed 1.0.0 --catalog-dir " + h.cfg.CatalogDir + "`, then install it again with `rbee-hive catalog add FILE --name changed --version 1.0.0 --catalog-dir " + h.cfg.CatalogDir + "`"},
		"a pin that is off": {"pinned", "cpu", messages.WorkerNotInstalled, "pinned version 1.0.0 (pinned: unpin it, or install that) is not installed; these versions are: 2.0.0"},
	} {
		t.Run(what, func(t *testing.T) {
			j := job("refused", "live")
			j.Worker, j.Device = test.worker, test.device
			got := h.spawn(j)
			require.ErrorIs(t, got.err, test.code)
			require.Contains(t, got.err.Message, test.says)
			require.NoDirExists(t, filepath.Join(h.cfg.RunDir, "workers", j.WorkerID), "a refused job leaves nothing")
			_, err := h.Explain(t.Context(), j)
			require.ErrorIs(t, err, test.code, "a dry run meets the same")
		})
	}
}

// A manifest that names the directory of the models means files in it, be it the program that puts the model there.
func TestAModelStaysBelowTheDirectoryOfItsManifest(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	h.installManifest("below", "1.0.0", `{"args":[`+played+`,"--file","/srv/models/$${model}.gguf"]}`)
	j := job("j", "../../etc/shadow")
	j.Worker = "below"
	got := h.spawn(j)
	require.ErrorIs(t, got.err, messages.InvalidJob)
	require.Equal(t, `model: "../../etc/shadow" leads out of the directory of "/srv/models/$${model}.gguf" (args[9] of worker below 1.0.0): name a model that does not go up`, got.err.Message)
	require.NoDirExists(t, filepath.Join(h.cfg.RunDir, "workers", j.WorkerID))
	_, err := h.Explain(t.Context(), j)
	require.ErrorIs(t, err, messages.InvalidJob)
	j.Model = "live"
	require.Nil(t, h.spawn(j).err)
}

// spoiled is a hive that replaces the worker's program between its verification and its start.
func spoiled(t *testing.T, replace func(path string)) (h *hive, path *string) {
	t.Helper()
	path = new(string)
	_, cards := withSMI(t, "out", fourCards)
	return newHive(t, func(c *spawner.Config) {
		cards(c)
		c.DeviceUUID = func(context.Context, int) (string, error) { // asked for by the manifest, right before the start
			if *path == "" {
				return "", errors.New("nothing to replace")
			}
			replace(*path)
			return "GPU-0", nil
		}
	}), path
}

const withUUID = `{"args":[` + played + `],"env":{"set":{"GPU":"${device_uuid}"}}}`

// What was verified is what is started, whatever lies at its path by then; and it is known by its own name.
func TestAProgramThatIsReplacedInBetweenIsNotStarted(t *testing.T) {
	t.Parallel()
	h, path := spoiled(t, func(path string) {
		require.NoError(t, os.WriteFile(path+".new", []byte("#!/bin/sh\nexit 66\n"), 0o755))
		require.NoError(t, os.Rename(path+".new", path))
	})
	*path = h.installManifest("swapped", "1.0.0", withUUID)
	j := job("j", "live")
	j.Worker, j.Device = "swapped", "cuda"
	got := h.spawn(j)
	require.Nil(t, got.err)
	awaitLog(t, got.result.LogPath, "playing live")
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", got.result.PID))
	require.NoError(t, err)
	require.Equal(t, *path+" (deleted)", exe)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", got.result.PID))
	require.NoError(t, err)
	require.Equal(t, "swapped\n", string(comm))
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", got.result.PID))
	require.NoError(t, err)
	for _, fd := range open {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", got.result.PID, fd.Name()))
		require.NotContains(t, target, "swapped-v1.0.0", "the worker inherits no more than before")
	}
}

// A script is read by its interpreter, by its path: one that was replaced is killed, and its job may be sent again.
func TestAScriptThatIsReplacedInBetweenIsKilled(t *testing.T) {
	t.Parallel()
	var runs int
	h, path := spoiled(t, func(path string) {
		if runs++; runs == 1 {
			require.NoError(t, os.WriteFile(path+".new", []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755))
			require.NoError(t, os.Rename(path+".new", path))
		}
	})
	*path = h.entry("script", "1.0.0")
	require.NoError(t, os.WriteFile(*path, []byte("#!/bin/sh\nexec sleep 1001\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(*path), catalog.ManifestName), []byte(withUUID), 0o644))
	j := job("j", "live")
	j.Worker, j.Device = "script", "cuda"
	got := h.spawn(j)
	require.ErrorIs(t, got.err, messages.BinaryInvalid)
	require.True(t, got.err.Retryable)
	require.Contains(t, got.err.Message, "is being replaced: try again")
	require.NotContains(t, got.actions(), messages.ActionSpawned)
	require.NoDirExists(t, filepath.Join(h.cfg.RunDir, "workers", j.WorkerID))
	require.Zero(t, h.Living())

	again := h.spawn(j)
	require.Nil(t, again.err)
	require.False(t, again.result.Replayed)
}

// A script that is removed between its verification and its start is no fault of the job, which may be sent again.
func TestAScriptThatIsRemovedInBetween(t *testing.T) {
	t.Parallel()
	h, path := spoiled(t, func(path string) { require.NoError(t, os.RemoveAll(filepath.Dir(path))) })
	*path = h.entry("script", "1.0.0")
	require.NoError(t, os.WriteFile(*path, []byte("#!/bin/sh\nexec sleep 1001\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(*path), catalog.ManifestName), []byte(withUUID), 0o644))
	j := job("j", "live")
	j.Worker, j.Device = "script", "cuda"
	got := h.spawn(j)
	require.ErrorIs(t, got.err, messages.BinaryInvalid)
	require.True(t, got.err.Retryable)
	require.Contains(t, got.err.Message, "is being replaced: try again")
	require.ErrorIs(t, h.spawn(j).err, messages.WorkerNotInstalled)
}

// The checksum is that of the program as it is now, and a worker whose entry is sound again is started again.
func TestChecksums(t *testing.T) {
	t.Parallel()
	h := newHive(t, nil)
	script := []byte("#!/bin/sh\nexec sleep 1000\n")
	sum := sha256.Sum256(script)
	path := h.entry("script", "1.0.0")
	require.NoError(t, os.WriteFile(path, script, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), catalog.ManifestName), []byte(`{"sha256":"`+hex.EncodeToString(sum[:])+`"}`), 0o644))
	ask := func(id string) told {
		j := job(id, "live")
		j.Worker = "script"
		return h.spawn(j)
	}
	require.Nil(t, ask("a").err)
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\nexec sleep 2000\n"), 0o755))
	changed := ask("b")
	require.ErrorIs(t, changed.err, messages.ChecksumMismatch)
	require.Equal(t, 422, changed.err.Code.Status())
	require.Contains(t, changed.actions(), messages.ActionBinarySkipped)
	require.NoError(t, os.WriteFile(path, script, 0o755))
	require.Nil(t, ask("c").err)
}
