//go:build linux

package fault_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/rbee-keeper/hive/internal/fault"
)

// playVariable makes the test binary a program that passes one point three times and another once.
const playVariable = "FAULT_TEST_PLAY"

func TestMain(m *testing.M) {
	if os.Getenv(playVariable) != "" {
		for range 3 {
			_, _ = os.Stdout.WriteString("step\n")
			fault.Point("test.step")
		}
		fault.Point("test.last")
		_, _ = os.Stdout.WriteString("end\n")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// player returns the program, armed as env says.
func player(env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append([]string{playVariable + "=1"}, env...)
	return cmd
}
