package main

import (
	"runtime/debug"
	"strings"
)

// implementation names this program to the queen and to whoever asks /info.
const implementation = "llm-worker"

// version is set by the linker: -ldflags "-X main.version=0.1.0".
var version string

// workerVersion returns the version of this program without a leading v: the linker's, else that of the module
// it was built from, else 0.0.0-dev.
func workerVersion() string {
	if version != "" {
		return strings.TrimPrefix(version, "v")
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "0.0.0-dev"
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}
