package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/rbee-keeper/hive/spawner/catalog"
	"github.com/rbee-keeper/hive/spawner/device"
	"github.com/rbee-keeper/hive/spawner/devtree"
)

// catalog examines what the hive takes workers from.
func (e examiner) catalog(ctx context.Context) []Check {
	probes := []probe{{name: "entries", run: func(context.Context) []Check { return e.entries() }}}
	if e.DevRoot != "" {
		probes = append(probes, probe{name: "dev_root", run: func(context.Context) []Check { return e.devTree() }})
	}
	if e.Build != nil {
		probes = append(probes, probe{name: "build", run: e.builds})
	}
	return e.run(ctx, "catalog", probes...)
}

// entries examines the catalog as a job would: each entry is looked at, and broken ones are told.
func (e examiner) entries() []Check {
	install := fmt.Sprintf("install one with `rbee-hive catalog add`, or a program at %s", filepath.Join(e.CatalogDir,
		device.CpuLlm.Binary()+"-v<version>-"+runtime.GOOS, device.CpuLlm.Binary()))
	if e.CatalogDir == "" {
		return warn("name a directory with --catalog-dir (RBEE_CATALOG_DIR)", "there is none: no job finds a worker")
	}
	if _, err := os.Lstat(e.CatalogDir); errors.Is(err, fs.ErrNotExist) {
		return warn(install, "%s does not exist: no job finds a worker", e.CatalogDir)
	}
	installed := catalog.Open(e.CatalogDir)
	sound, broken, err := installed.List()
	if err != nil {
		return failBy(err, "make it a directory that this user can read and nobody but its owner can write")
	}
	dangling, err := installed.Dangling()
	if err != nil {
		return failBy(err, "mend the file, or remove it: then nothing is pinned")
	}
	var found []Check
	if len(sound) == 0 {
		found = warn(install, "%s holds no worker for %s/%s that can be started", e.CatalogDir, runtime.GOOS, runtime.GOARCH)
	} else {
		found = ok("%s: %s", e.CatalogDir, summary(sound))
	}
	for _, name := range slices.Sorted(maps.Keys(dangling)) {
		found = append(found, named("pin", failBy(fmt.Errorf("%s is pinned to %s, which is not installed: its jobs fail", name, dangling[name]),
			"install it, or run `rbee-hive catalog unpin "+name+"`"))...)
	}
	for i, entry := range broken {
		if i == mostBroken {
			return append(found, named("broken", warn("mend or remove the first ones", "and %d more", len(broken)-i))...)
		}
		found = append(found, named("broken", warnBy(entry.Err, "mend "+entry.Path+" or remove it"))...)
	}
	return found
}

// mostBroken is how many broken entries are told.
const mostBroken = 20

// summary names the workers, each with its versions.
func summary(entries []catalog.Entry) string {
	const most = 10
	var parts []string
	last := ""
	for i, entry := range entries {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(entries)-i))
			break
		}
		if entry.Name == last {
			parts[len(parts)-1] += ", " + entry.Version
			continue
		}
		parts, last = append(parts, entry.Name+" "+entry.Version), entry.Name
	}
	return strings.Join(parts, "; ")
}

func (e examiner) devTree() []Check {
	root, err := devtree.Root(e.DevRoot)
	if err != nil {
		return failBy(fmt.Errorf("serve does not start: %w", err), "name a directory in a Cargo workspace with --dev-root, or leave it out")
	}
	return ok("%s is a Cargo workspace; its target/ is searched behind the catalog", root)
}

// hasCUDAWorker reports whether a job for an NVIDIA GPU finds a worker.
func (e examiner) hasCUDAWorker() bool {
	worker := device.CudaLlm
	if e.CatalogDir != "" {
		if _, _, err := catalog.Open(e.CatalogDir).Find(worker.Binary(), ""); err == nil {
			return true
		}
	}
	root, err := devtree.Root(e.DevRoot)
	if err != nil {
		return false
	}
	_, _, _, err = devtree.Find(root, worker.Binary())
	return err == nil
}
