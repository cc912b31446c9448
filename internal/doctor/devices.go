package doctor

import (
	"context"
	"fmt"
	"runtime"

	"github.com/rbee-keeper/hive/spawner/device"
)

// devices examines what workers may run on, and whether there are workers for it. It looks as a hive does.
func (e examiner) devices(ctx context.Context) []Check {
	return e.run(ctx, "devices", probe{name: "cuda", run: func(ctx context.Context) []Check {
		cfg := e.Devices
		cfg.Timeout = e.Timeout * 3 / 4 // so that there is time for what the driver itself shows
		finder := device.NewFinder(cfg)
		defer finder.Close()
		report := finder.Look(ctx, 0)
		return append(named("cpu", processor(report)), e.cuda(report)...)
	}})
}

// processor tells what the processors are.
func processor(report device.Report) []Check {
	text := fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	cpu, _ := report.Find(device.Device{Kind: device.CPU})
	if cpu.Name != "" {
		text += ", " + cpu.Name
	}
	if cpu.Memory > 0 {
		text += fmt.Sprintf(", %d MiB", cpu.Memory>>20)
	}
	return ok("%s", text)
}

// cuda examines the NVIDIA GPUs and whether there is a worker for them.
func (e examiner) cuda(report device.Report) []Check {
	if !device.CudaLlm.SupportedOn(runtime.GOOS) {
		return ok("none: CUDA is not for this system")
	}
	var found []Check
	for _, problem := range report.Problems {
		found = append(found, warn("run nvidia-smi and mend what it says; after an update of the driver that is a reboot",
			"the devices are not all known: %s", problem)...)
	}
	cards, worker := 0, e.hasCUDAWorker()
	for _, gpu := range report.Devices {
		if gpu.Kind == device.CUDA {
			cards++
			found = append(found, card(gpu)...)
		}
	}
	switch {
	case cards > 0 && !worker:
		found = append(found, warn("install "+device.CudaLlm.Binary()+" in the catalog", "there are %d GPUs and no worker for them", cards)...)
	case cards == 0 && worker && report.Whole:
		found = append(found, warn("install NVIDIA's driver, or remove the worker", "%s is installed, and no GPU is found", device.CudaLlm.Binary())...)
	case found == nil:
		found = ok("no NVIDIA GPU is found")
	}
	return found
}

// card tells what a GPU is.
func card(gpu device.Found) []Check {
	text := fmt.Sprintf("%s is %s", gpu, gpu.Name)
	if gpu.Name == "" {
		text = fmt.Sprintf("%s is a GPU whose name is not known", gpu)
	}
	if gpu.Memory > 0 {
		text += fmt.Sprintf(", %d MiB", gpu.Memory>>20)
	}
	if gpu.UUID != "" {
		text += " (" + gpu.UUID + ")"
	}
	if gpu.MIG && gpu.Name != "" && gpu.Memory > 0 { // the whole card, not one of its MIG devices
		return warn("name the MIG devices that this hive may use in its "+device.EnvVisible+"; `nvidia-smi -L` lists their UUIDs",
			"%s, divided into MIG devices: CUDA shows a worker one of them, and counts otherwise", text)
	}
	return ok("%s", text)
}
