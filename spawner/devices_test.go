//go:build linux

package spawner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/device"
)

// playSMI plays nvidia-smi: it prints the file "out" beside it and exits with what "exit" says; it waits for ever if there is a file
// "hang", and leaves a line in "calls".
func playSMI(dir string) {
	calls, err := os.OpenFile(filepath.Join(dir, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(calls, os.Getpid())
	for _, err := os.Stat(filepath.Join(dir, "hang")); err == nil; {
		time.Sleep(time.Minute)
	}
	out, _ := os.ReadFile(filepath.Join(dir, "out"))
	_, _ = os.Stdout.Write(out)
	text, code := "", 0
	if data, err := os.ReadFile(filepath.Join(dir, "exit")); err == nil {
		text = string(data)
	}
	_, _ = fmt.Sscan(text, &code)
	syscall.Exit(code) // at once: the race detector has os.Exit wait for a second
}

const twoCards = `0, GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, NVIDIA H100 80GB HBM3, 00000000:18:00.0, 81559, 4, Disabled
1, GPU-91672fbd-4bc1-0434-a653-77a9501c84de, NVIDIA H100 80GB HBM3, 00000000:2A:00.0, 81559, 63931, Disabled
`

// withSMI gives a hive an nvidia-smi whose files are pairs of a name and a text; without any, there is none.
func withSMI(t *testing.T, files ...string) (dir string, change func(*spawner.Config)) {
	t.Helper()
	dir = t.TempDir()
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600))
	}
	smi := filepath.Join(dir, "nvidia-smi")
	if len(files) > 0 {
		self, err := os.Executable()
		require.NoError(t, err)
		require.NoError(t, os.Symlink(self, smi))
	}
	return dir, func(c *spawner.Config) {
		c.Devices = device.Config{SMI: smi, Driver: filepath.Join(dir, "gpus"), Dev: dir}
	}
}

// smiCalls returns how often nvidia-smi was started.
func smiCalls(dir string) int {
	calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
	return strings.Count(string(calls), "\n")
}

// on returns a job on a device, for a worker that prints its environment.
func on(id, dev string) messages.Job {
	j := job(id, "live")
	j.Device = dev
	return j
}

// knows waits until the hive has looked at its machine.
func (h *hive) knows() []messages.Device {
	h.t.Helper()
	var devices []messages.Device
	require.Eventually(h.t, func() bool {
		var problem string
		devices, problem = h.Devices(h.t.Context())
		return !strings.Contains(problem, "not answered")
	}, patience, time.Millisecond)
	return devices
}

func TestDevicesOfAHive(t *testing.T) {
	t.Parallel()
	dir, change := withSMI(t, "out", twoCards+"2, [Unknown Error], [Unknown Error], [N/A], [N/A], [N/A], [N/A]\n")
	h := newHive(t, change)
	devices := h.knows()
	require.Len(t, devices, 3)
	require.Equal(t, "cpu", devices[0].Device)
	require.Positive(t, devices[0].Cores)
	require.Greater(t, devices[0].MemoryBytes, int64(100<<20))
	require.Equal(t, messages.Device{
		Device: "cuda:1", Kind: "cuda", Index: 1, Name: "NVIDIA H100 80GB HBM3", UUID: "GPU-91672fbd-4bc1-0434-a653-77a9501c84de",
		MemoryBytes: 81559 << 20, MemoryUsedBytes: new(int64(63931 << 20)),
	}, devices[2])
	_, problem := h.Devices(t.Context())
	require.Contains(t, problem, "nvidia-smi says: 2, [Unknown Error]")
	require.Equal(t, 1, smiCalls(dir), "all of that was one look")
}

// A device that is not there is refused before anything starts, and the refusal lists those that are.
func TestDeviceThatIsNotThere(t *testing.T) {
	t.Parallel()
	dir, change := withSMI(t, "out", twoCards)
	h := newHive(t, change)
	h.knows()
	for _, name := range []string{"cuda:7", "GPU-7"} {
		got := h.spawn(on("job-"+name[:3], name))
		require.ErrorIs(t, got.err, messages.DeviceNotFound)
		require.Equal(t, "this machine has no cuda:7; it has cpu, cuda:0, cuda:1", got.err.Message)
		require.Equal(t, []string{"cpu", "cuda:0", "cuda:1"}, got.err.Devices)
		require.False(t, got.err.Retryable)
		require.Equal(t, []messages.Action{messages.ActionSpawnStart, messages.ActionTypeDetermined}, got.actions())
	}
	for id, name := range map[string]string{"a": "cuda", "b": "cuda:0", "c": "GPU-1", "d": "cpu"} {
		got := h.spawn(on(id, name))
		require.Nil(t, got.err, "%v", got.err)
		require.NotContains(t, got.actions(), messages.ActionDeviceUnknown)
	}
	require.Equal(t, 1, smiCalls(dir), "no job had it asked again")

	_, without := withSMI(t)
	other := newHive(t, without)
	other.knows()
	got := other.spawn(on("e", "cuda:0"))
	require.ErrorIs(t, got.err, messages.DeviceNotFound)
	require.Equal(t, "this machine has no cuda:0; it has cpu", got.err.Message)
}

// A machine whose devices cannot be known says so, and refuses nothing.
func TestDevicesThatCannotBeKnown(t *testing.T) {
	t.Parallel()
	_, change := withSMI(t, "out", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "exit", "9")
	h := newHive(t, change)
	h.knows()
	got := h.spawn(on("a", "cuda:0"))
	require.Nil(t, got.err, "%v", got.err)
	require.Contains(t, got.actions(), messages.ActionDeviceUnknown)
	for _, e := range got.events {
		if e.Action == messages.ActionDeviceUnknown {
			require.Equal(t, messages.LevelWarn, e.Level)
			require.Equal(t, "cuda:0", e.Fields.Device)
			require.Contains(t, e.Human, "Device cuda:0 is not verified: nvidia-smi: exit status 9: NVIDIA-SMI has failed")
		}
	}
	_, problem := h.Devices(t.Context())
	require.Contains(t, problem, "exit status 9")
	_, err := h.DeviceUUID(t.Context(), "cuda:0")
	require.ErrorIs(t, err, messages.DeviceNotFound)
	require.True(t, messages.AsError(err).Retryable)
}

// A driver that hangs holds up no job for longer than two seconds, all jobs together no longer, those on the processor not at all, and no end
// of the hive.
func TestADriverThatHangs(t *testing.T) {
	t.Parallel()
	dir, change := withSMI(t, "hang", "")
	h := newHive(t, change)
	require.Eventually(t, func() bool { return smiCalls(dir) == 1 }, patience, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, problem := h.Devices(ctx)
	require.Contains(t, problem, "has not answered yet")
	cpu := h.spawn(on("a", "cpu"))
	require.Nil(t, cpu.err)
	spawn := func(i int) (took time.Duration) {
		began := time.Now()
		got := h.spawn(on(fmt.Sprintf("b%d", i), "cuda:1"))
		require.Nil(t, got.err)
		require.Contains(t, got.actions(), messages.ActionDeviceUnknown)
		return time.Since(began)
	}
	spawn(0)
	for i := 1; spawn(i) > time.Second; i++ { // where the machine stands still, any job takes long, but not each of them
		require.Less(t, i, 20, "each job waits anew")
	}
	require.Equal(t, 1, smiCalls(dir))
}

func TestDeviceUUID(t *testing.T) {
	t.Parallel()
	_, change := withSMI(t, "out", twoCards+"2, [N/A], NVIDIA thing, [N/A], [N/A], [N/A], [N/A]\n")
	h := newHive(t, change)
	h.knows()
	uuid, err := h.DeviceUUID(t.Context(), "GPU-1")
	require.NoError(t, err)
	require.Equal(t, "GPU-91672fbd-4bc1-0434-a653-77a9501c84de", uuid)
	for name, code := range map[string]messages.Code{
		"cuda:3": messages.DeviceNotFound, "cuda:2": messages.UnsupportedDevice, "cpu": messages.UnsupportedDevice, "gpu": "", "cpufoo": messages.UnsupportedDevice,
	} {
		_, err := h.DeviceUUID(t.Context(), name)
		if code == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, code, name)
		require.False(t, messages.AsError(err).Retryable, name)
	}
}

// A number means the same card to the worker as to the hive, whatever the hive itself was told.
func TestANumberMeansOneCard(t *testing.T) {
	const mig = "MIG-377e0049-554c-540b-93c6-d0976f8426cb"
	for visible, want := range map[string]struct {
		devices []string
		env     []string
	}{
		"1": {[]string{"cpu", "cuda:1"}, []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID"}},
		mig: {[]string{"cpu", "cuda:0"}, []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=" + mig}},
	} {
		t.Setenv("CUDA_VISIBLE_DEVICES", visible)
		t.Setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
		_, change := withSMI(t, "out", twoCards)
		h := newHive(t, change)
		var names []string
		for _, found := range h.knows() {
			names = append(names, found.Device)
		}
		require.Equal(t, want.devices, names)
		got := h.spawn(on("a", names[1]))
		require.Nil(t, got.err, "%v", got.err)
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", got.result.PID))
		require.NoError(t, err)
		var env []string
		for entry := range strings.SplitSeq(string(environ), "\x00") {
			if strings.HasPrefix(entry, "CUDA_") {
				env = append(env, entry)
			}
		}
		require.ElementsMatch(t, want.env, env)
		if visible == "1" {
			require.ErrorIs(t, h.spawn(on("b", "cuda:0")).err, messages.DeviceNotFound)
		}
	}
	for _, name := range []string{"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"} {
		dir := t.TempDir()
		_, err := spawner.New(spawner.Config{HiveID: "h", RunDir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log"), PassEnv: []string{name}})
		require.ErrorContains(t, err, name+" cannot be passed on to workers")
	}
}
