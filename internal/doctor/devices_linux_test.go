package doctor

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// line is what a test wants of a check.
type line struct {
	status  Status
	message string
}

func TestCUDA(t *testing.T) {
	const smi = `echo "0, GPU-11, NVIDIA H100 80GB HBM3, 00000000:18:00.0, 81559, 0, Disabled"
echo "1, GPU-22, NVIDIA H100 80GB HBM3, 00000000:2A:00.0, 81559, 0, [N/A]"
`
	for name, test := range map[string]struct {
		smi    string
		proc   bool
		worker bool
		want   []line
	}{
		"nothing": {"exit 127", false, false, []line{{Warning, "nvidia-smi: exit status 127"}}},
		"GPUs and a worker": {smi, false, true, []line{
			{OK, "cuda:0 is NVIDIA H100 80GB HBM3, 81559 MiB (GPU-11)"}, {OK, "cuda:1 is NVIDIA H100 80GB HBM3, 81559 MiB (GPU-22)"},
		}},
		"GPUs without a worker": {smi, false, false, []line{{OK, "cuda:0"}, {OK, "cuda:1"}, {Warning, "there are 2 GPUs and no worker for them"}}},
		"the driver is broken": {"echo Driver/library version mismatch; exit 18", true, true, []line{
			{Warning, "nvidia-smi: exit status 18: Driver/library version mismatch"}, {OK, "cuda:0 is NVIDIA L4 (GPU-33)"},
		}},
		"another output": {"echo '0, GPU'", false, true, []line{{Warning, "nvidia-smi says: 0, GPU"}}},
		"a lost card":    {smi + "echo '2, [Unknown Error], [Unknown Error], [N/A], [N/A], [N/A], [N/A]'", false, true, []line{{Warning, "says: 2, [Unknown Error]"}, {OK, "cuda:0"}, {OK, "cuda:1"}}},
		"a divided card": {"echo '0, GPU-11, NVIDIA A100-SXM4-40GB, 00000000:07:00.0, 40960, 0, Enabled'", false, true, []line{{Warning, "cuda:0 is NVIDIA A100-SXM4-40GB, 40960 MiB (GPU-11), divided"}}},
	} {
		t.Run(name, func(t *testing.T) {
			fake(t, "nvidia-smi", test.smi)
			requireLines(t, test.want, newConfig(t), test.proc, test.worker)
		})
	}
	t.Setenv("PATH", t.TempDir()) // without nvidia-smi
	requireLines(t, []line{{OK, "no NVIDIA GPU is found"}}, newConfig(t), false, false)
	requireLines(t, []line{{Warning, "cuda-llm-worker-rbee is installed, and no GPU is found"}}, newConfig(t), false, true)
	requireLines(t, []line{{OK, "cuda:0 is NVIDIA L4 (GPU-33)"}}, newConfig(t), true, true)
}

// requireLines compares what is found of CUDA with the lines that are wanted.
func requireLines(t *testing.T, want []line, cfg Config, driver, worker bool) {
	t.Helper()
	cfg.Devices.Driver, cfg.Devices.Dev = filepath.Join(t.TempDir(), "gpus"), t.TempDir()
	cfg.Timeout = time.Minute
	if driver {
		require.NoError(t, os.MkdirAll(filepath.Join(cfg.Devices.Driver, "0000:01:00.0"), 0o700))
		text := "Model: \t\t NVIDIA L4\nIRQ:   \t\t 42\nGPU UUID: \t GPU-33\n"
		require.NoError(t, os.WriteFile(filepath.Join(cfg.Devices.Driver, "0000:01:00.0", "information"), []byte(text), 0o600))
	}
	if worker {
		cfg.install(t, "cuda-llm-worker-rbee", 0o755)
	}
	found := examiner{Config: cfg}.devices(t.Context())
	require.Equal(t, "cpu", found[0].Name)
	require.Contains(t, found[0].Message, " cores, linux/")
	found = found[1:]
	require.Len(t, found, len(want), "%v", found)
	for i, check := range found {
		require.Equal(t, "cuda", check.Name)
		require.Equal(t, want[i].status, check.Status, "%v", check)
		require.Contains(t, check.Message, want[i].message)
	}
}

func TestAWorkerOfTheDevelopmentTreeCounts(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	require.False(t, examiner{Config: cfg}.hasCUDAWorker())
	cfg.DevRoot = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(cfg.DevRoot, "Cargo.toml"), []byte("[workspace]\n"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(cfg.DevRoot, "target", "debug"), 0o755))
	require.False(t, examiner{Config: cfg}.hasCUDAWorker())
	require.NoError(t, os.WriteFile(filepath.Join(cfg.DevRoot, "target", "debug", "cuda-llm-worker-rbee"), []byte("#!/bin/sh\n"), 0o755))
	require.True(t, examiner{Config: cfg}.hasCUDAWorker())
}
