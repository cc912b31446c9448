package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rbee-keeper/hive/spawner/device"
)

// procGPUs is where NVIDIA's driver shows its devices, also where its tools are not installed.
const procGPUs = "/proc/driver/nvidia/gpus"

// devices examines what workers may run on, and whether there are workers for it.
func (e examiner) devices(ctx context.Context) []Check {
	return e.run(ctx, "devices",
		probe{name: "cpu", run: func(context.Context) []Check {
			return ok("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
		}},
		probe{name: "cuda", run: func(ctx context.Context) []Check { return e.cuda(ctx, procGPUs) }},
	)
}

// cuda examines the NVIDIA GPUs and whether there is a worker for them.
func (e examiner) cuda(ctx context.Context, proc string) []Check {
	if !device.CudaLlm.SupportedOn(runtime.GOOS) {
		return ok("none: CUDA is not for this system")
	}
	gpus, err := nvidia(ctx, proc)
	worker := e.hasCUDAWorker()
	var found []Check
	if err != nil {
		found = warn("run nvidia-smi and mend what it says; after an update of the driver that is a reboot", "the driver does not answer: %v", err)
	}
	for i, gpu := range gpus {
		found = append(found, ok("cuda:%d is %s", i, gpu)...)
	}
	switch {
	case len(gpus) > 0 && !worker:
		found = append(found, warn("install "+device.CudaLlm.Binary()+" in the catalog", "there are %d GPUs and no worker for them", len(gpus))...)
	case len(gpus) == 0 && worker && err == nil:
		found = append(found, warn("install NVIDIA's driver, or remove the worker", "%s is installed, and no GPU is found", device.CudaLlm.Binary())...)
	case found == nil:
		found = ok("no NVIDIA GPU is found")
	}
	return found
}

// nvidia returns a line about each NVIDIA GPU, in the order of their numbers. The error says that there is a driver and
// it is out of order; what could be found out all the same comes with it.
func nvidia(ctx context.Context, proc string) ([]string, error) {
	shown := procNVIDIA(proc)
	out, err := output(ctx, "nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return shown, nil
	case err != nil:
		return shown, err
	}
	var gpus []string
	for line := range strings.Lines(out) {
		fields := strings.Split(line, ",")
		if len(fields) != 4 {
			return shown, fmt.Errorf("nvidia-smi says what is not understood: %s", strings.TrimSpace(line))
		}
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		gpus = append(gpus, fmt.Sprintf("%s, %s MiB (%s)", fields[2], fields[3], fields[1]))
	}
	return gpus, nil
}

// procNVIDIA returns what the driver itself shows, by the GPUs' places on the bus.
func procNVIDIA(proc string) []string {
	files, _ := filepath.Glob(filepath.Join(proc, "*", "information"))
	var gpus []string
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		var model, uuid string
		for lines := bufio.NewScanner(file); lines.Scan(); {
			key, value, _ := strings.Cut(lines.Text(), ":")
			switch key {
			case "Model":
				model = strings.TrimSpace(value)
			case "GPU UUID":
				uuid = strings.TrimSpace(value)
			}
		}
		_ = file.Close()
		gpus = append(gpus, fmt.Sprintf("%s (%s)", model, uuid))
	}
	return gpus
}
