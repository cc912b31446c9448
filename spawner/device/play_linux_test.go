package device

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/leaktest"
)

// TestMain lets the test binary play nvidia-smi: under that name it does what the files beside it say.
func TestMain(m *testing.M) {
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "nvidia-smi" {
		syscall.Exit(play(filepath.Dir(os.Args[0]))) // at once: the race detector has os.Exit wait for a second
	}
	leaktest.Main(m)
}

// play plays nvidia-smi. Each call leaves a line in the file "calls".
func play(dir string) int {
	read := func(name string) string {
		data, _ := os.ReadFile(filepath.Join(dir, name))
		return string(data)
	}
	if len(os.Args) == 1 { // a child of another
		time.Sleep(time.Minute)
		return 0
	}
	write(dir, "calls", strings.Join(os.Args[1:], " "))
	write(dir, "environment", strings.Join(os.Environ(), "\n"))
	how := read("how")
	switch how {
	case "hang", "leave":
		child := exec.Command(os.Args[0])
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			return 99
		}
		write(dir, "pids", fmt.Sprintln(os.Getpid(), child.Process.Pid))
		if how == "hang" {
			signal.Ignore(syscall.SIGTERM)
			time.Sleep(time.Minute)
		}
	case "wait": // until the test lets it go on
		for read("go") == "" {
			time.Sleep(time.Millisecond)
		}
	case "crash":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	case "flood":
		line := strings.Repeat("x", 1023) + "\n"
		for range 10 << 10 {
			if _, err := os.Stdout.WriteString(line); err != nil {
				return 98
			}
		}
	case "old":
		if strings.Contains(os.Args[1], "mig") {
			fmt.Print("Field \"mig.mode.current\" is not a valid field to query.\n\n")
			return 2
		}
	}
	fmt.Print(read("out"))
	fmt.Fprint(os.Stderr, read("err"))
	code := 0
	_, _ = fmt.Sscan(read("exit"), &code)
	return code
}

func write(dir, name, line string) {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(file, line)
		_ = file.Close()
	}
	if err != nil {
		panic(err)
	}
}

// patience bounds every wait of a test for something that must happen.
const patience = time.Minute

// box is a machine with an nvidia-smi of its own, whose files say what it does, or without one.
type box struct {
	t   *testing.T
	dir string
	cfg Config
}

const h100s = `0, GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, NVIDIA H100 80GB HBM3, 00000000:18:00.0, 81559, 4, Disabled
1, GPU-91672fbd-4bc1-0434-a653-77a9501c84de, NVIDIA H100 80GB HBM3, 00000000:2A:00.0, 81559, 63931, Disabled
`

// newBox returns a machine whose nvidia-smi does what files say: pairs of a name and a text. Without any there is none.
func newBox(t *testing.T, files ...string) *box {
	t.Helper()
	dir := t.TempDir()
	b := &box{t: t, dir: dir, cfg: Config{
		SMI: filepath.Join(dir, "nvidia-smi"), Driver: filepath.Join(dir, "gpus"), Dev: filepath.Join(dir, "dev"), Visible: nil, Timeout: time.Minute,
	}}
	for i := 0; i < len(files); i += 2 {
		b.file(files[i], files[i+1])
	}
	if len(files) > 0 {
		self, err := os.Executable()
		require.NoError(t, err)
		require.NoError(t, os.Symlink(self, b.cfg.SMI))
	}
	return b
}

func (b *box) file(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	require.NoError(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(b.t, os.WriteFile(path, []byte(text), 0o600))
}

// shows adds a card to what the driver shows.
func (b *box) shows(place, model, uuid string, more ...string) {
	b.t.Helper()
	text := fmt.Sprintf("Model: \t\t %s\nIRQ:   \t\t 186\nGPU UUID: \t %s\nVideo BIOS: \t 94.02.42.80.0e\nBus Location: \t %s\nDevice Minor: \t 0\n%s",
		model, uuid, place, strings.Join(more, "\n"))
	b.file(filepath.Join("gpus", place, "information"), text)
}

// finder returns a finder for this machine, which is closed when the test ends.
func (b *box) finder() *Finder {
	b.t.Helper()
	f := NewFinder(b.cfg)
	if f.grace = patience; b.read("how") == "leave" { // what it leaves has its output for so long
		f.grace = deathGrace
	}
	b.t.Cleanup(f.Close)
	return f
}

// read returns what the program wrote into a file.
func (b *box) read(name string) string {
	data, _ := os.ReadFile(filepath.Join(b.dir, name))
	return string(data)
}

// calls returns how often nvidia-smi was started.
func (b *box) calls() int { return strings.Count(b.read("calls"), "\n") }

// await waits until the condition holds.
func (b *box) await(condition func() bool) {
	b.t.Helper()
	require.Eventually(b.t, condition, patience, time.Millisecond)
}

// alive reports whether a process runs; one that has ended and waits for its parent does not.
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(data), ") Z ")
}
