package main

import (
	"os"
	"runtime"
)

// leaveCores bounds how many cores the hive's own code uses at once: a quarter of the machine's, at least one and at most
// four. The machine is there for the workers, and waking up a second thread for a few microseconds of work costs more than
// the work. GOMAXPROCS in the environment overrides it.
func leaveCores() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(max(runtime.NumCPU()/4, 1), 4))
	}
}
