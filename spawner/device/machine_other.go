//go:build !linux && !darwin

package device

import (
	"os"
	"runtime"
)

// processors returns what is known of the processors without asking the system: their number, and the name that Windows
// gives them.
func processors() Found {
	return Found{Device: Device{Kind: CPU}, Name: tidy(os.Getenv("PROCESSOR_IDENTIFIER"), 128), Cores: runtime.NumCPU()}
}

// metal returns the GPU of a Mac.
func metal() (Found, bool) { return Found{}, false }
