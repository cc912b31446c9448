package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Which logs of workers that have ended are kept unless a [Retention] says otherwise.
const (
	DefaultFiles = 200
	DefaultAge   = 7 * 24 * time.Hour
)

// Retention says which logs of workers that have ended are kept. The zero Retention keeps the newest 200 that are no
// older than 7 days.
type Retention struct {
	// Files is how many are kept; 0 means 200, less than 0 any number.
	Files int
	// Age is how long ago they may have been written to last; 0 means 7 days, less than 0 any time.
	Age time.Duration
}

// Sweep removes the logs of the directory that the retention does not keep, the empty ones among them, and returns how
// many. A log that living says is in use stays and does not count. living is asked last thing before a log is removed;
// it has to say true from before the log is opened for a worker until the last process that writes to it has ended.
//
// Only regular files of this user that are named *.log are removed. The error joins those of the files that could not
// be; the others are removed all the same.
func Sweep(dir string, retention Retention, living func(path string) bool) (removed int, err error) {
	if retention.Files == 0 {
		retention.Files = DefaultFiles
	}
	if retention.Age == 0 {
		retention.Age = DefaultAge
	}
	files, err := newestFirst(dir)
	if err != nil {
		return 0, fmt.Errorf("sweep logs: %w", err)
	}
	old := func(file aged) bool { return retention.Age >= 0 && time.Since(file.written) > retention.Age }
	full := func(n int) bool { return retention.Files >= 0 && n > retention.Files }
	if len(files) == 0 || !full(len(files)) && !old(files[len(files)-1]) {
		return 0, nil // whichever are in use
	}
	kept := 0
	var failed []error
	for _, file := range files {
		if living(file.path) {
			continue
		}
		if !old(file) && !full(kept+1) {
			kept++
			continue
		}
		switch err := os.Remove(file.path); {
		case err == nil:
			removed++
		case !errors.Is(err, fs.ErrNotExist):
			failed = append(failed, err)
		}
	}
	return removed, errors.Join(failed...)
}

// aged is a log and when it was written to last.
type aged struct {
	path    string
	written time.Time
}

// newestFirst returns the logs of the directory by when they were written to last.
func newestFirst(dir string) ([]aged, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []aged
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), Suffix) {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		if err != nil || check(path, info) != nil {
			continue
		}
		files = append(files, aged{path: path, written: info.ModTime()})
	}
	slices.SortFunc(files, func(a, b aged) int { return b.written.Compare(a.written) })
	return files, nil
}

// Progress returns the size of a log in bytes and when it was written to last: a worker whose log grows is slow, not
// dead. It opens nothing. The error is fs.ErrNotExist if there is no log, and a [*NotLogError] if something else is
// there.
func Progress(path string) (size int64, written time.Time, err error) {
	info, err := os.Lstat(path)
	if err == nil {
		err = check(path, info)
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	return info.Size(), info.ModTime(), nil
}
