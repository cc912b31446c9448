package device

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cards are the cards of a report as a test writes them down.
func cards(r Report) (lines []string) {
	for _, found := range r.Devices {
		if found.Kind == CUDA {
			lines = append(lines, fmt.Sprintf("%s %s %s %d", found, found.Name, found.UUID, found.Memory>>20))
		}
	}
	return lines
}

func TestLook(t *testing.T) {
	t.Parallel()
	two := []string{
		"cuda:0 NVIDIA H100 80GB HBM3 GPU-8932f937-d72c-4106-c12f-20bd9faed9f6 81559",
		"cuda:1 NVIDIA H100 80GB HBM3 GPU-91672fbd-4bc1-0434-a653-77a9501c84de 81559",
	}
	l4 := []string{"cuda:0 NVIDIA L4 GPU-33 0"}
	for name, test := range map[string]struct {
		files    []string
		driver   bool
		dev      string
		want     []string
		whole    bool
		problems []string
	}{
		"no driver":                 {whole: true},
		"a driver without tools":    {driver: true, want: l4, whole: true},
		"a device file alone":       {dev: "nvidia0", problems: []string{"dev/nvidia0"}},
		"WSL without tools":         {dev: "dxg", problems: []string{"dev/dxg"}},
		"two cards":                 {files: []string{"out", h100s}, driver: true, want: two, whole: true},
		"an old driver":             {files: []string{"how", "old", "out", strings.ReplaceAll(h100s, ", Disabled", "")}, want: two, whole: true},
		"a lost card":               {files: []string{"out", h100s + "2, [Unknown Error], [Unknown Error], [Unknown Error], [N/A], [N/A], [N/A]\n"}, want: two, problems: []string{"nvidia-smi says: 2, [Unknown Error]"}},
		"a warning and a bad end":   {files: []string{"out", h100s + "WARNING: infoROM is corrupted at gpu 0000:84:00.0\n", "exit", "14"}, want: two, problems: []string{"WARNING: infoROM", "exit status 14"}},
		"no card":                   {files: []string{"out", "No devices were found\n", "exit", "6"}, dev: "nvidiactl", whole: true, problems: []string{"No devices were found"}},
		"no card that works":        {files: []string{"out", "No devices were found\n", "exit", "6"}, driver: true, want: l4, whole: true, problems: []string{"No devices were found"}},
		"nothing":                   {files: []string{"out", ""}, whole: true},
		"the driver is out of date": {files: []string{"out", "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.183\n", "exit", "18"}, driver: true, want: l4, whole: true, problems: []string{"exit status 18: Failed to initialize NVML: Driver/library version mismatch"}},
		"the driver is not loaded":  {files: []string{"out", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "exit", "9"}, problems: []string{"exit status 9: NVIDIA-SMI has failed"}},
		"stderr":                    {files: []string{"out", "", "err", "no libnvidia-ml.so\n", "exit", "12"}, problems: []string{"exit status 12: no libnvidia-ml.so"}},
		"a crash":                   {files: []string{"how", "crash"}, driver: true, want: l4, whole: true, problems: []string{"nvidia-smi: signal: killed"}},
		"garbage":                   {files: []string{"out", "\x00\xff\x1b[2J,,,,,,\nhello\n"}, problems: []string{"nvidia-smi says: ", "nvidia-smi says: hello"}},
		"10 MB":                     {files: []string{"how", "flood"}, driver: true, want: l4, whole: true, problems: []string{"says more than 1048576 bytes"}},
		"a child that stays":        {files: []string{"how", "leave", "out", h100s}, want: two, whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, test.files...)
			if test.driver {
				b.shows("0000:01:00.0", "NVIDIA L4", "GPU-33")
			}
			if test.dev != "" {
				b.file("dev/"+test.dev, "")
			}
			report := b.finder().Look(t.Context(), 0)
			require.Equal(t, test.want, cards(report))
			require.Equal(t, test.whole, report.Whole, "%v", report.Problems)
			require.Len(t, report.Problems, len(test.problems), "%v", report.Problems)
			for i, problem := range test.problems {
				require.Contains(t, report.Problems[i], problem)
				requirePrintable(t, report.Problems[i], 256)
			}
			cpu := report.Devices[0]
			require.Equal(t, Device{Kind: CPU}, cpu.Device)
			require.Equal(t, runtime.NumCPU(), cpu.Cores)
			require.Greater(t, cpu.Memory, int64(100<<20))
			require.WithinDuration(t, time.Now(), report.At, time.Minute)
			for _, pid := range pids(b) {
				b.await(func() bool { return !alive(pid) })
			}
		})
	}
}

// pids returns the processes that nvidia-smi said it was and started.
func pids(b *box) []int {
	var self, child int
	if n, _ := fmt.Sscan(b.read("pids"), &self, &child); n != 2 {
		return nil
	}
	return []int{self, child}
}

// A program that hangs costs its time, and nothing of it is left.
func TestLookKillsWhatHangs(t *testing.T) {
	t.Parallel()
	b := newBox(t, "how", "hang")
	b.shows("0000:01:00.0", "NVIDIA L4", "GPU-33")
	b.cfg.Timeout = 300 * time.Millisecond
	if testing.Short() {
		b.cfg.Timeout = 100 * time.Millisecond
	}
	report := b.finder().Look(t.Context(), 0)
	require.Equal(t, []string{"cuda:0 NVIDIA L4 GPU-33 0"}, cards(report))
	require.Regexp(t, `^nvidia-smi: had not answered after \d`, report.Problem())
	for _, pid := range pids(b) { // none, if this machine was too slow to start them
		b.await(func() bool { return !alive(pid) })
	}
}

// A driver that hangs keeps the program in the kernel, where no signal reaches it. It is left behind, and no other is started
// beside it.
func TestLookLeavesBehindWhatCannotBeKilled(t *testing.T) {
	t.Parallel()
	b := newBox(t, "how", "wait", "out", h100s)
	b.cfg.Timeout = 50 * time.Millisecond
	f := b.finder()
	f.kill, f.grace = func(*exec.Cmd) {}, 50*time.Millisecond
	began := time.Now()
	report := f.Look(t.Context(), 0)
	require.Less(t, time.Since(began), 10*time.Second)
	require.Contains(t, report.Problem(), "nvidia-smi: hangs in the driver and cannot be killed (PID ")
	require.False(t, report.Whole)
	for range 3 {
		report = f.Look(t.Context(), 0)
		require.Contains(t, report.Problem(), "nvidia-smi: an earlier one hangs in the driver and cannot be killed (PID ")
	}
	b.file("go", "now")
	f.cfg.Timeout = time.Minute // no look is under way
	b.await(func() bool { return len(cards(f.Look(t.Context(), 0))) == 2 })
	require.LessOrEqual(t, b.calls(), 2)
}

func TestLookTellsNoSecrets(t *testing.T) {
	t.Setenv("NATS_PASSWORD", "secret")
	t.Setenv("CUDA_VISIBLE_DEVICES", "1")
	b := newBox(t, "out", h100s)
	require.Len(t, cards(b.finder().Look(t.Context(), 0)), 1)
	require.Contains(t, b.read("environment"), "LC_ALL=C")
	require.NotContains(t, b.read("environment"), "secret")
	require.NotContains(t, b.read("environment"), "CUDA")
	require.Equal(t, "--query-gpu=index,uuid,name,pci.bus_id,memory.total,memory.used,mig.mode.current --format=csv,noheader,nounits\n", b.read("calls"))
}

func TestSMIOfThePath(t *testing.T) {
	b := newBox(t, "out", h100s)
	b.cfg.SMI = ""
	t.Setenv("PATH", b.dir)
	require.Len(t, cards(b.finder().Look(t.Context(), 0)), 2)
}

func TestReadDriver(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.shows("0000:81:00.0", "NVIDIA A40", "GPU-81", "GPU Excluded:\t No")
	b.shows("0000:0a:00.0", "NVIDIA A30", "GPU-0a", "Blacklisted:\t No")
	b.shows("0001:00:00.0", "Unknown", "GPU-????????-????-????-????-????????????")
	b.shows("0000:0b:00.0", "NVIDIA A10", "GPU-0b", "GPU Excluded:\t Yes")
	b.shows("10000:01:00.0", "Tesla P4", "GPU-????????-????-????-????-????????????")
	report := b.finder().Look(t.Context(), 0)
	require.Equal(t, []string{"cuda:0 NVIDIA A30 GPU-0a 0", "cuda:1 NVIDIA A40 GPU-81 0", "cuda:3 Tesla P4  0"}, cards(report))
	require.Equal(t, []string{"the driver tells nothing of the card at 0001:00:00.0"}, report.Problems)
	require.False(t, report.Whole)
}
