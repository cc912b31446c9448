package device

import (
	"bufio"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// processors returns what the kernel tells of the processors and the machine's memory.
func processors() Found {
	return Found{
		Device: Device{Kind: CPU}, Name: tidy(first("/proc/cpuinfo", "model name", "Model", "Hardware"), 128),
		Memory: kib(first("/proc/meminfo", "MemTotal")), Cores: runtime.NumCPU(),
	}
}

// metal returns the GPU of a Mac.
func metal() (Found, bool) { return Found{}, false }

// first returns the value of the first line in a file whose key is one of keys, or "" if there is none.
func first(path string, keys ...string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, 4<<20))
	for lines.Scan() {
		key, text, ok := strings.Cut(lines.Text(), ":")
		key = strings.TrimSpace(key)
		for _, wanted := range keys {
			if ok && key == wanted {
				return strings.TrimSpace(text)
			}
		}
	}
	return ""
}

// kib reads a size like "16384000 kB" and returns its bytes, or 0 if it is none.
func kib(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	if err != nil || n < 0 || n > 1<<50 {
		return 0
	}
	return n << 10
}
