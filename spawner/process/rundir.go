package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// RunDir is the directory that holds the locks and records of one hive's workers.
type RunDir struct {
	path  string
	owner int // the user whose files are read
}

// OpenRunDir makes the directory where it is missing and checks that nobody else can write to it: whoever can could have
// a hive signal any process. It must belong to this user, be no symbolic link, and give nobody else the right to write.
func OpenRunDir(path string) (*RunDir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return nil, fmt.Errorf("run directory: %w; name another with --run-dir", err)
	}
	if err := ready(); err != nil {
		return nil, err
	}
	d := &RunDir{path: abs, owner: os.Geteuid()}
	for i, dir := range []string{abs, "/workers", "/ports"} {
		if i > 0 {
			dir = d.path + dir
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("run directory: %w", err)
		}
		if err := checkPrivate(dir); err != nil {
			return nil, fmt.Errorf("run directory: %w", err)
		}
		if i == 0 { // the kernel names open files by their real paths
			if d.path, err = filepath.EvalSymlinks(abs); err != nil {
				return nil, fmt.Errorf("run directory: %w", err)
			}
		}
	}
	return d, nil
}

// Belong writes the owner's name into the directory, or returns an error if another's is there: the workers below are
// its workers.
func (d *RunDir) Belong(owner string) error {
	path := d.path + "/owner"
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(path, []byte(owner), 0o600)
	}
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	if string(data) != owner {
		return fmt.Errorf("run directory: %s belongs to hive %q, whose workers may run; name another with --run-dir, or remove it when they have ended", d.path, data)
	}
	return nil
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

// Sweep removes the directories of workers that are gone, except those of the keep that were touched last which were touched
// within age, and returns how many. Workers that watched says live are passed over without a look. Of the others, those whose
// lock is held, and those that alive says live, stay however old they are. The error joins those of the directories that cannot
// be removed; the others are. It costs little more than a look at each directory, so that it can be done often.
func (d *RunDir) Sweep(keep int, age time.Duration, watched, alive func(worker string) bool) (removed int, err error) {
	ids, err := d.Workers()
	if err != nil {
		return 0, err
	}
	touched := make(map[string]time.Time, len(ids))
	ids = slices.DeleteFunc(ids, func(id string) bool {
		if watched(id) {
			return true
		}
		at, err := d.Touched(id)
		touched[id] = at
		return err != nil // another hive swept it
	})
	slices.SortFunc(ids, func(a, b string) int { return touched[a].Compare(touched[b]) })
	oldest := time.Now().Add(-age)
	var failed []error
	for i, id := range ids {
		if i >= len(ids)-keep && !touched[id].Before(oldest) {
			break
		}
		claim, err := d.Claim(id)
		if err != nil {
			continue // it lives, or is being started
		}
		if claim.Fresh() { // another hive swept it
			claim.Abandon()
			continue
		}
		if alive(id) {
			claim.Release()
			continue
		}
		if err := claim.Remove(); err != nil {
			failed = append(failed, err)
			continue
		}
		removed++
	}
	return removed, errors.Join(failed...)
}

// ReadRecord reads the worker's record, worker.json, into v: the fields that were prepared, and the [Started] process
// under "process". The error is fs.ErrNotExist if the worker has none.
func (d *RunDir) ReadRecord(worker string, v any) error {
	return d.readJSON(filepath.Join(d.worker(worker), recordFile), v)
}

// ReadStarting reads what the worker's last start has written so far into v: what [Claim.Prepare] did, and behind it what
// [Claim.Commit] did.
func (d *RunDir) ReadStarting(worker string, v any) error {
	return d.readJSON(d.lockPath(worker), v)
}

// encodeRecord returns the object in body with the process as its first field, as encoding/json reads it. What it returns for a
// process is equally long whoever writes it, so that of two who write it one over the other, nothing stays behind.
func encodeRecord(p Started, body []byte) []byte {
	data := make([]byte, 0, len(body)+256)
	data = strconv.AppendInt(append(data, `{"process":{"pid":`...), int64(p.PID), 10)
	data = strconv.AppendUint(append(data, `,"start_ticks":`...), p.StartTicks, 10)
	data = strconv.AppendQuote(append(data, `,"boot_id":`...), p.BootID) // a UUID
	data = p.At.AppendFormat(append(data, `,"started_at":"`...), "2006-01-02T15:04:05.000000000Z07:00")
	data = append(data, `"},`...)
	return append(data, body[1:]...)
}

const (
	lockFile    = "lock"
	recordFile  = "worker.json"
	exitFile    = "exit.json"
	failureFile = "failure.json"
	unfinished  = ".new" // behind the name of a file that is being written, before a number where several may write it
)

func (d *RunDir) workers() string              { return d.path + "/workers" }
func (d *RunDir) ports() string                { return d.path + "/ports" }
func (d *RunDir) worker(id string) string      { return d.path + "/workers/" + id }
func (d *RunDir) exitPath(id string) string    { return d.worker(id) + "/" + exitFile }
func (d *RunDir) failurePath(id string) string { return d.worker(id) + "/" + failureFile }
func (d *RunDir) lockPath(id string) string    { return d.worker(id) + "/" + lockFile }

func (d *RunDir) readJSON(path string, v any) error {
	data, err := readOwn(path, d.owner)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// mostRecord is how long a file of the run directory may be, in bytes: a record holds a job and an answer.
const mostRecord = 1 << 20

// WriteExit keeps v, which says how the worker's process ended, until the worker is started again. A reader finds the whole of it
// or nothing, also where several write at once.
func (d *RunDir) WriteExit(worker string, v any) error {
	return writeJSON(d.exitPath(worker), v, os.Rename)
}

// AddExit is WriteExit where nothing is kept yet; the error is fs.ErrExist otherwise.
func (d *RunDir) AddExit(worker string, v any) error {
	return writeJSON(d.exitPath(worker), v, os.Link)
}

// ReadExit reads what [RunDir.WriteExit] kept into v. The error is fs.ErrNotExist if there is nothing.
func (d *RunDir) ReadExit(worker string, v any) error { return d.readJSON(d.exitPath(worker), v) }

// WriteFailure keeps v, which says how the worker's job failed although a process of it lives on, as [RunDir.WriteExit] does.
func (d *RunDir) WriteFailure(worker string, v any) error {
	return writeJSON(d.failurePath(worker), v, os.Rename)
}

// ReadFailure reads what [RunDir.WriteFailure] kept into v. The error is fs.ErrNotExist if there is nothing.
func (d *RunDir) ReadFailure(worker string, v any) error { return d.readJSON(d.failurePath(worker), v) }

// writeJSON writes v into a file of its own, which put makes the file at path. Unlike a record, such a file is written without the
// worker's lock: by two processes of a hive that see one worker end, for one.
func writeJSON(path string, v any, put func(from, to string) error) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	from := path + unfinished + "." + strconv.Itoa(os.Getpid()) + "." + strconv.FormatUint(written.Add(1), 10)
	defer func() { _ = os.Remove(from) }()
	if err := writeUnfinished(from, data); err != nil {
		return err
	}
	return put(from, path)
}

// written counts the files that this process has begun to write.
var written atomic.Uint64

// errIrregular is what is wrong with a pipe, a link or a directory where a file of the run directory is looked for.
var errIrregular = errors.New("it is no regular file: remove it")

// writeUnfinished writes the file at path, which is to become another. What else a worker may have put in its place is removed: it runs
// as this user.
func writeUnfinished(path string, data []byte) error {
	err := writeOwn(path, data)
	if errors.Is(err, errIrregular) && os.Remove(path) == nil {
		err = writeOwn(path, data)
	}
	return err
}

// Touched returns when the worker's directory was changed last: when it was started, answered or seen to end.
func (d *RunDir) Touched(worker string) (time.Time, error) {
	info, err := os.Lstat(d.worker(worker))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
