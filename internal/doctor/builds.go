package doctor

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"

	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/devtree"
)

// builds examines what a hive that keeps development builds up to date builds from, and with what.
func (e examiner) builds(ctx context.Context) []Check {
	updater, err := devtree.NewUpdater(*e.Build)
	if err != nil {
		return failBy(err, "correct --dev-source (RBEE_DEV_SOURCE)")
	}
	defer updater.Close()
	names := slices.Collect(maps.Keys(e.Build.Sources))
	for _, worker := range []device.WorkerType{device.CpuLlm, device.CudaLlm, device.MetalLlm} {
		if worker.SupportedOn(runtime.GOOS) {
			names = append(names, worker.Binary())
		}
	}
	slices.Sort(names)
	var found, cargo []Check
	for _, name := range slices.Compact(names) {
		plan, err := updater.Prospect(name)
		switch {
		case errors.Is(err, devtree.ErrNoSource):
			continue // most trees are of one worker
		case errors.Is(err, devtree.ErrNoCargo):
			cargo = named("cargo", fail("install Rust, put Cargo's directory into the PATH of the hive, or leave out --auto-update", "jobs fail with build_failed: %v", err))
		case err != nil:
			found = append(found, failBy(err, "correct what it says, or leave out --auto-update")...)
			continue
		case plan.Command[0] == "cargo" && cargo == nil:
			cargo = named("cargo", version(ctx, plan))
		}
		found = append(found, ok("%s is built from %s by %s", name, plan.Dir, plan.Command[0])...)
	}
	if found == nil {
		return warn("name the development tree with --dev-root, or the source with --dev-source WORKER=DIRECTORY",
			"there is no source of any worker: what is in target/ is started as it is")
	}
	return append(found, cargo...)
}

// version tells which Cargo builds.
func version(ctx context.Context, plan devtree.Prospect) []Check {
	text, err := plan.Version(ctx)
	if err != nil {
		return fail("run it by hand in "+plan.Dir+" and mend what it says", "jobs fail with build_failed: %v", err)
	}
	return ok("%s, at %s", text, plan.Path)
}
