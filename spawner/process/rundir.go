package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// RunDir is the directory that holds the locks and records of one hive's workers.
type RunDir struct {
	path string
}

// OpenRunDir makes the directory where it is missing and checks that nobody else can write to it: whoever can could have
// a hive signal any process. It must belong to this user, be no symbolic link, and have mode 0700 or stricter.
func OpenRunDir(path string) (*RunDir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, fmt.Errorf("run directory: %w; name another with --run-dir", err)
	}
	d := &RunDir{path: abs}
	for _, dir := range []string{abs, d.workers(), d.ports()} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("run directory: %w", err)
		}
		if err := checkPrivate(dir); err != nil {
			return nil, fmt.Errorf("run directory: %w", err)
		}
	}
	return d, nil
}

// Path returns the absolute path of the directory.
func (d *RunDir) Path() string { return d.path }

// Workers returns the ids of the workers that have a directory, living or not, in order.
func (d *RunDir) Workers() ([]string, error) {
	entries, err := os.ReadDir(d.workers())
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	ids := make([]string, 0, len(entries))
	for _, entry := range entries {
		if entry.IsDir() {
			ids = append(ids, entry.Name())
		}
	}
	return ids, nil
}

// ReadRecord reads the worker's record, worker.json, into v: the fields that were prepared, and the [Started] process
// under "process". The error is fs.ErrNotExist if the worker has none.
func (d *RunDir) ReadRecord(worker string, v any) error {
	return readJSON(filepath.Join(d.worker(worker), recordFile), v)
}

// ReadStarting reads what the worker's start had written when it was cut short, into v.
func (d *RunDir) ReadStarting(worker string, v any) error {
	return readJSON(d.lockPath(worker), v)
}

// WriteRecord replaces the worker's record in one step. The body must encode to a JSON object with at least one field.
func (d *RunDir) WriteRecord(worker string, p Started, body any) error {
	data, err := json.Marshal(body)
	if err == nil {
		data, err = encodeRecord(p, data)
	}
	if err != nil {
		return fmt.Errorf("record of %s: %w", worker, err)
	}
	path := filepath.Join(d.worker(worker), recordFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("record of %s: %w", worker, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("record of %s: %w", worker, err)
	}
	return nil
}

// encodeRecord returns the object in body with the process as its first field.
func encodeRecord(p Started, body []byte) ([]byte, error) {
	head, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	data := make([]byte, 0, len(head)+len(body)+16)
	data = append(data, `{"process":`...)
	data = append(data, head...)
	data = append(data, ',')
	return append(data, body[1:]...), nil
}

const (
	lockFile   = "lock"
	recordFile = "worker.json"
)

func (d *RunDir) workers() string           { return d.path + "/workers" }
func (d *RunDir) ports() string             { return d.path + "/ports" }
func (d *RunDir) worker(id string) string   { return d.path + "/workers/" + id }
func (d *RunDir) lockPath(id string) string { return d.worker(id) + "/" + lockFile }

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
