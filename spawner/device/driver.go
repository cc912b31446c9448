package device

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DriverDir is where NVIDIA's driver on Linux shows its GPUs, also where its tools are not installed.
const DriverDir = "/proc/driver/nvidia/gpus"

// readDriver returns the GPUs that the driver shows in dir, and the places on the bus of those of which it tells nothing.
// They are numbered by their places, as nvidia-smi does. Cards that the driver was told to leave alone have no number there
// and get none here. An error that is fs.ErrNotExist says that there is no driver.
func readDriver(dir string) (gpus []Found, bad []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(busKey(a.Name()), busKey(b.Name())) })
	index := 0
	for _, entry := range entries {
		gpu, excluded, err := readInformation(filepath.Join(dir, entry.Name(), "information"))
		if excluded || errors.Is(err, fs.ErrNotExist) || index > MaxIndex {
			continue
		}
		gpu.Device, gpu.bus = Device{Kind: CUDA, Index: index}, entry.Name()
		index++ // of one that cannot be read, too: it is on the bus
		if err != nil || gpu.Name == "" && gpu.UUID == "" {
			bad = append(bad, entry.Name())
			continue
		}
		gpus = append(gpus, gpu)
	}
	return gpus, bad, nil
}

// readInformation reads the driver's file about one GPU, lines of a key, a colon and a value.
func readInformation(path string) (gpu Found, excluded bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return gpu, false, err
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, 64<<10))
	for lines.Scan() {
		key, text, _ := strings.Cut(lines.Text(), ":")
		text = strings.TrimSpace(text)
		switch strings.TrimSpace(key) {
		case "Model":
			if text != "Unknown" {
				gpu.Name = tidy(value(text), 128)
			}
		case "GPU UUID":
			gpu.UUID = parseUUID(text)
		case "GPU Excluded", "Blacklisted":
			excluded = text == "Yes"
		}
	}
	return gpu, excluded, lines.Err()
}
