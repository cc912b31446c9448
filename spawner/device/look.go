package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// look finds out what this machine has. It takes as long as the driver does, which may be for ever: [Finder] bounds it.
func (f *Finder) look(ctx context.Context) Report {
	report := Report{Devices: []Found{processors()}, Whole: true}
	if CudaLlm.SupportedOn(runtime.GOOS) {
		f.glance(report)
		f.addCards(ctx, &report)
	}
	if gpu, ok := metal(); ok {
		report.Devices = append(report.Devices, gpu)
	}
	report.At = time.Now()
	return report
}

// glance notes, for the first who cannot wait, what the driver shows without being asked: nvidia-smi may take many seconds when it
// has to set up the cards first.
func (f *Finder) glance(report Report) {
	cards, _, err := readDriver(f.cfg.Driver)
	if err != nil {
		return
	}
	report.Whole = false // so that nothing is said of what is missing
	devices := append(slices.Clone(report.Devices), f.visible(cards, &report)...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.early = devices
}

// addCards adds NVIDIA's GPUs: what nvidia-smi says or, if it is missing or in trouble, what the driver itself shows.
func (f *Finder) addCards(ctx context.Context, report *Report) {
	cards, err := f.askSMI(ctx, report)
	missing := errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		report.trouble("nvidia-smi: %v", err)
	}
	if err != nil && len(cards) == 0 {
		shown, bad, driverErr := readDriver(f.cfg.Driver)
		for _, place := range bad {
			report.trouble("the driver tells nothing of the card at %s", place)
		}
		if driverErr != nil && !errors.Is(driverErr, fs.ErrNotExist) {
			report.trouble("the driver's list cannot be read: %v", driverErr)
		}
		cards = shown
		none := errors.Is(err, errNoDevices) || missing && errors.Is(driverErr, fs.ErrNotExist)
		report.Whole = len(bad) == 0 && (len(cards) > 0 || none)
		if sign := f.sign(); len(cards) == 0 && sign != "" && !errors.Is(err, errNoDevices) {
			report.Whole = false
			report.trouble("there is %s, so there may be a GPU, and neither nvidia-smi nor %s tells of one", sign, f.cfg.Driver)
		}
	}
	if problem := checkOrder(cards); problem != "" {
		report.trouble("%s", problem)
	}
	report.Devices = append(report.Devices, f.visible(cards, report)...)
}

// errNoDevices is nvidia-smi's word for it that the driver works and has no card.
var errNoDevices = errors.New("No devices were found") //nolint:staticcheck // its own words

// askSMI returns the cards that nvidia-smi tells of, and notes in the report what it says besides. The error says why it
// does not tell of all, if that is known; exec.ErrNotFound and fs.ErrNotExist say that there is no such program.
func (f *Finder) askSMI(ctx context.Context, report *Report) ([]Found, error) {
	path, err := f.findSMI()
	if err != nil {
		return nil, err
	}
	if f.stuck != nil {
		select {
		case <-f.stuck.done:
			f.stuck = nil
		default:
			return nil, fmt.Errorf("an earlier one %w (PID %d)", errStuck, f.stuck.pid)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	var out string
	n := len(smiFields)
	for ; ; n-- {
		var program *asked
		out, program, err = f.ask(ctx, path, smiQuery(n)...)
		if errors.Is(err, errStuck) {
			f.stuck = program
		}
		if n < len(smiFields) || err == nil || !strings.Contains(out, "not a valid field") {
			break
		}
	}
	cards, bad := parseSMI(out, n)
	switch {
	case err != nil && len(cards) == 0 && strings.Contains(out, errNoDevices.Error()):
		return nil, errNoDevices
	case err != nil && len(cards) == 0:
		return nil, explain(err, out) // it tells its errors on stdout
	}
	for _, line := range bad {
		report.trouble("nvidia-smi says: %s", line)
	}
	report.Whole = err == nil && len(bad) == 0
	return cards, err
}

// smiPlaces is where nvidia-smi is on systems that often leave it out of the PATH: below WSL, in a Windows before 2020.
var smiPlaces = []string{"/usr/lib/wsl/lib/nvidia-smi", `C:\Program Files\NVIDIA Corporation\NVSMI\nvidia-smi.exe`}

func (f *Finder) findSMI() (string, error) {
	if f.cfg.SMI != "" {
		return exec.LookPath(f.cfg.SMI)
	}
	path, err := exec.LookPath("nvidia-smi")
	for _, place := range smiPlaces {
		if err == nil {
			break
		}
		if found, placeErr := exec.LookPath(place); placeErr == nil {
			return found, nil
		}
	}
	return path, err
}

// signs are files that are there where a GPU of NVIDIA is set up, be it below WSL (dxg) or on a Tegra board, whose GPU is not
// on a PCI bus.
var signs = []string{"nvidiactl", "nvidia0", "dxg", "nvmap", "nvhost-gpu"}

// sign returns a file that speaks for a GPU, or "" if there is none.
func (f *Finder) sign() string {
	for _, name := range signs {
		path := filepath.Join(f.cfg.Dev, name)
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return ""
}
