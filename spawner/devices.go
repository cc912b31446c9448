package spawner

import (
	"runtime"

	"github.com/rbee-keeper/hive/spawner/device"
)

// Devices returns the devices of this machine that are known without asking a driver: the processors, and the GPU of a Mac.
func Devices() []string {
	devices := []string{device.Device{Kind: device.CPU}.String()}
	if runtime.GOOS == "darwin" {
		devices = append(devices, device.Device{Kind: device.Metal}.String())
	}
	return devices
}
