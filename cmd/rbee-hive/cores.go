package main

import (
	"os"
	"runtime"
)

// leaveCores bounds how many cores the hive's own code uses at once: a quarter of the machine's, at least two and at most
// four. The machine is there for the workers, and waking up another thread for a few microseconds of work costs more than
// the work. One would do, but a start keeps it until the child has executed its program (golang/go#11155), which takes long on
// a slow disk. GOMAXPROCS in the environment overrides the bound.
func leaveCores() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(max(runtime.NumCPU()/4, 2), 4))
	}
}
