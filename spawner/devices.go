package spawner

import (
	"context"
	"errors"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/device"
)

// deviceWait is how long a job, or who asks for the hive's status, waits for the driver at most.
const deviceWait = 2 * time.Second

// Devices returns the devices of this machine as they were at most [device.Fresh] ago, and what of them could not be found out.
// It waits for the driver for two seconds at most; then it answers with what was known before, and says so.
func (s *Spawner) Devices(ctx context.Context) (devices []messages.Device, problem string) {
	ctx, cancel := s.awaitDriver(ctx)
	defer cancel()
	report := s.devices.Look(ctx, device.Fresh)
	devices = make([]messages.Device, len(report.Devices))
	for i, found := range report.Devices {
		devices[i] = messages.Device{
			Device: found.String(), Kind: string(found.Kind), Index: found.Index, Name: found.Name, UUID: found.UUID,
			MemoryBytes: found.Memory, MemoryUsedBytes: found.Used, Cores: found.Cores, MIG: found.MIG,
		}
	}
	problem = report.Problem()
	s.sayDevices(problem)
	return devices, problem
}

// awaitDriver bounds a wait for the driver. One that hangs is waited for once, and not by each of the jobs in turn, which hold their slots
// meanwhile.
func (s *Spawner) awaitDriver(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, deviceWait-s.devices.Under())
}

// sayDevices logs a problem with the devices when it is another than before.
func (s *Spawner) sayDevices(problem string) {
	if before := s.devicesSaid.Swap(&problem); problem != "" && (before == nil || *before != problem) {
		s.cfg.Logger.Warn("the devices of this machine are not all known", "err", problem)
	}
}

// checkDevice returns an error if this machine does not have the job's device. Where nobody can tell, the job goes on: its
// worker will find out. A job on the processor costs nothing; one on a GPU that was there before, a look into what is
// remembered.
func (s *Spawner) checkDevice(ctx context.Context, job messages.Job, tell story) error {
	dev, err := device.Parse(job.Device)
	if err != nil || dev.Kind != device.CUDA {
		return nil // refused elsewhere, or there: the one processor, the one GPU of a Mac
	}
	ctx, cancel := s.awaitDriver(ctx)
	defer cancel()
	_, err = s.devices.Find(ctx, dev)
	if unknown, ok := errors.AsType[*device.UnknownError](err); ok {
		s.sayDevices(unknown.Why)
		tell.deviceUnknown(unknown)
		return nil
	}
	return deviceError(err)
}

// DeviceUUID returns the UUID of a device that a job names, for a program that is to be given that card and no other. Every
// error is a [*messages.Error]: device_not_found if the machine has no such device, and, retryable, if nobody can tell;
// unsupported_device if the device has no UUID that is known.
func (s *Spawner) DeviceUUID(ctx context.Context, name string) (string, error) {
	dev, err := device.Parse(name)
	if err != nil {
		return "", deviceError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, deviceWait)
	defer cancel()
	uuid, err := s.devices.UUID(ctx, dev)
	return uuid, deviceError(err)
}

// deviceError returns an error of package device as it travels; nil stays nil.
func deviceError(err error) error {
	if err == nil {
		return nil
	}
	e := messages.Errorf(messages.UnsupportedDevice, "%w", err)
	if missing, ok := errors.AsType[*device.NotFoundError](err); ok {
		e.Code, e.Devices = messages.DeviceNotFound, missing.Devices
	}
	if unknown, ok := errors.AsType[*device.UnknownError](err); ok && unknown.What == "" {
		e.Code, e.Retryable = messages.DeviceNotFound, true
	}
	return e
}
