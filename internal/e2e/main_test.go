//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rbee-keeper/hive/internal/leaktest"
)

// programs is the directory of the programs that the tests run: rbee-hive, llm-worker, worker, server, and sleeper, a worker
// that opens nothing of its own. They are written before the first test, because the kernel does not start a file that is open for writing,
// and every process that a test starts holds for a moment what this one has open.
var programs string

// twoGPUs is an nvidia-smi that knows two cards.
const twoGPUs = `#!/bin/sh
echo "0, GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, NVIDIA H100 80GB HBM3, 00000000:18:00.0, 81559, 4, Disabled"
echo "1, GPU-91672fbd-4bc1-0434-a653-77a9501c84de, NVIDIA H100 80GB HBM3, 00000000:2A:00.0, 81559, 63931, Disabled"
`

// withGPUs has a hive find two GPUs.
func withGPUs() string { return "PATH=" + filepath.Join(programs, "gpus") + ":" + os.Getenv("PATH") }

func TestMain(m *testing.M) {
	if playServer() {
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rbee-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		programs, err = dir, build(dir)
	}
	if err == nil {
		// A worker whose hive was killed becomes a child of this process, so that none can get lost.
		err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if left := children(os.Getpid()); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "the tests left processes behind:", left)
		return 1
	}
	if err := leaktest.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// build puts the programs into dir.
func build(dir string) error {
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", dir+string(filepath.Separator), "../../cmd/rbee-hive", "../../cmd/llm-worker", "./testdata/worker", "./testdata/server")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "sleeper"), []byte("#!/bin/sh\nexec sleep 120\n"), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "gpus"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "gpus", "nvidia-smi"), []byte(twoGPUs), 0o755)
}
