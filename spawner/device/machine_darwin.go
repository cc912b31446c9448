package device

import (
	"runtime"
	"syscall"
)

// processors returns what the kernel tells of the processors and the machine's memory.
func processors() Found {
	return Found{Device: Device{Kind: CPU}, Name: brand(), Memory: memory(), Cores: runtime.NumCPU()}
}

// metal returns the GPU of a Mac. On Apple's own processors it has their name and shares their memory; of the others, the
// kernel does not tell.
func metal() (Found, bool) {
	gpu := Found{Device: Device{Kind: Metal}}
	if runtime.GOARCH == "arm64" {
		gpu.Name, gpu.Memory = brand(), memory()
	}
	return gpu, true
}

func brand() string {
	name, err := syscall.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		return ""
	}
	return tidy(name, 128)
}

// memory reads a number of eight bytes, the low one first. syscall.Sysctl reads texts, and leaves out a zero at the end.
func memory() int64 {
	text, err := syscall.Sysctl("hw.memsize")
	if err != nil || len(text) > 8 {
		return 0
	}
	var n int64
	for i := range len(text) {
		n |= int64(text[i]) << (8 * i)
	}
	return max(n, 0)
}
