package spawner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/catalog"
	"github.com/rbee-keeper/hive/spawner/device"
)

// values are what the names in a manifest's templates stand for.
type values struct {
	hive  *Spawner
	job   messages.Job
	entry catalog.Entry
	port  string
}

// expand returns the template with the values in it.
func (v values) expand(ctx context.Context, template string) (string, error) {
	return catalog.Expand(template, func(name string) (string, error) { return v.of(ctx, name) })
}

// of returns the value with a name.
func (v values) of(ctx context.Context, name string) (string, error) {
	switch name {
	case catalog.ValueWorkerID:
		return v.job.WorkerID, nil
	case catalog.ValueJobID:
		return v.job.JobID, nil
	case catalog.ValueHiveID:
		return v.hive.cfg.HiveID, nil
	case catalog.ValueModel:
		return v.job.Model, nil
	case catalog.ValueDevice:
		return v.job.Device, nil
	case catalog.ValuePort:
		return v.port, nil
	case catalog.ValueQueenURL:
		return v.hive.queenOf(v.job), nil
	case catalog.ValueEntryDir:
		return v.entry.Dir, nil
	}
	dev, err := device.Parse(v.job.Device)
	if err != nil {
		return "", err
	}
	switch name {
	case catalog.ValueDeviceIndex:
		return strconv.Itoa(dev.Index), nil
	case catalog.ValueDeviceUUID:
		return v.hive.uuidOf(ctx, dev)
	}
	return "", errors.New("this hive does not know what that stands for")
}

// uuidOf returns the UUID of a GPU.
func (s *Spawner) uuidOf(ctx context.Context, dev device.Device) (string, error) {
	switch {
	case dev.Kind != device.CUDA:
		return "", fmt.Errorf("device %s has no UUID; ${device_index} is its index", dev)
	case s.cfg.DeviceUUID == nil:
		return s.DeviceUUID(ctx, dev.String())
	}
	return s.cfg.DeviceUUID(ctx, dev.Index)
}

// arguments returns the arguments of the job's worker: its manifest's, or those of the worker contract.
func (v values) arguments(ctx context.Context) ([]string, error) {
	manifest := v.entry.Manifest
	if manifest == nil || manifest.Args == nil {
		return v.hive.contract(v.job, v.port), nil
	}
	args := make([]string, len(manifest.Args))
	for i, template := range manifest.Args {
		var err error
		if args[i], err = v.expand(ctx, template); err != nil {
			return nil, v.unknown(fmt.Sprintf("args[%d]", i), err)
		}
	}
	return args, nil
}

// contract returns the arguments of the worker contract.
func (s *Spawner) contract(job messages.Job, port string) []string {
	return []string{"--worker-id", job.WorkerID, "--model", job.Model, "--device", job.Device, "--port", port, "--queen-url", s.queenOf(job)}
}

// unknown says that a value cannot be had.
func (v values) unknown(field string, err error) error {
	e := messages.Errorf(messages.DeviceNotFound, "worker %s %s: %s: %w", v.entry.Name, v.entry.Version, field, err)
	if cause, ok := errors.AsType[*messages.Error](err); ok {
		e.Code, e.Devices, e.Retryable = cause.Code, cause.Devices, cause.Retryable
	}
	return e
}

// environment returns the whole environment of the job's worker: what all workers get, changed as its manifest says, and
// the hive's own four, which nothing changes. No name is among it twice: programs differ in which of two they see.
func (v values) environment(ctx context.Context) ([]string, error) {
	own := []string{
		envWorkerID + "=" + v.job.WorkerID, envJobID + "=" + v.job.JobID, envHiveID + "=" + v.hive.cfg.HiveID, envPort + "=" + v.port,
	}
	if v.entry.Manifest == nil {
		return append(append(make([]string, 0, len(v.hive.env)+len(own)), v.hive.env...), own...), nil
	}
	asked := v.entry.Manifest.Env
	env := make([]string, 0, len(v.hive.env)+len(asked.Set)+len(asked.Pass)+len(own))
	keep := func(entry string) {
		name, _, _ := strings.Cut(entry, "=")
		_, set := asked.Set[name]
		stripped := slices.ContainsFunc(asked.Strip, func(pattern string) bool { return covers(pattern, name) })
		if !set && !stripped && !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
			env = append(env, entry)
		}
	}
	for _, entry := range v.hive.env {
		keep(entry)
	}
	for _, name := range asked.Pass {
		if value, ok := v.hive.own[name]; ok && !catalog.IsHives(name) {
			keep(name + "=" + value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(asked.Set)) {
		value, err := v.expand(ctx, asked.Set[name])
		if err != nil {
			return nil, v.unknown("env.set."+name, err)
		}
		env = append(env, name+"="+value)
	}
	return append(env, own...), nil
}

// covers reports whether a pattern of a manifest's strip means the variable.
func covers(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// ownVariables returns the variables of the hive's environment that a manifest may pass on.
func ownVariables(environ []string) map[string]string {
	own := make(map[string]string, len(environ))
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && !catalog.IsHives(name) {
			own[name] = value
		}
	}
	return own
}

// checkServes refuses a device that the worker cannot serve, and a model that leads out of the directory which its manifest names.
func checkServes(job messages.Job, entry catalog.Entry) error {
	if place, template := entry.Manifest.Climbs(job.Model); place != "" {
		return messages.Errorf(messages.InvalidJob, "model: %q leads out of the directory of %q (%s of worker %s %s): name a model that does not go up",
			messages.Redact(job.Model), template, place, entry.Name, entry.Version)
	}
	dev, err := device.Parse(job.Device)
	if err != nil || entry.Manifest.Serves(string(dev.Kind), dev.String()) {
		return err
	}
	return messages.Errorf(messages.UnsupportedDevice, "worker %s %s serves %s and not %s: name another worker, or another device",
		entry.Name, entry.Version, entry.Manifest.Served(), job.Device)
}
