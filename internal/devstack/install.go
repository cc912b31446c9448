package devstack

import (
	"github.com/rbee-keeper/hive/spawner/catalog"
)

// WorkerName is the name under which [Install] installs a worker: the one that the device "cpu" means.
const WorkerName = "cpu-llm-worker-rbee"

// CanServe reports whether the state directory dir holds a worker for the device "cpu" that can be started.
func CanServe(dir string) bool {
	_, _, err := catalog.Open(CatalogDir(dir)).Find(WorkerName, "")
	return err == nil
}

// Install puts a copy of the program at path into the catalog of the state directory dir, as a version of [WorkerName].
func Install(dir, path, version string) error {
	_, err := catalog.Open(CatalogDir(dir)).Install(WorkerName, version, path)
	return err
}
