package logs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What a log keeps unless a [Policy] says otherwise.
const (
	DefaultSegmentSize = 64 << 20 // bytes
	DefaultSegments    = 3
)

// minSegment is the least size of a segment, in bytes; every size is a multiple of segmentUnit, which is one of every
// file system's block and of every machine's page.
const (
	minSegment  = 256 << 10
	segmentUnit = 64 << 10
)

// Policy says how much of a log is kept. The zero Policy keeps 3 segments of 64 MiB.
//
// A log grows freely until it holds more than Segments × SegmentSize bytes. Then its oldest part is freed, in whole
// segments, until it holds at most that: so it keeps more than Segments-1 segments, and between two rotations Segments
// and what was printed meanwhile.
type Policy struct {
	// SegmentSize is what is freed at once, in bytes, rounded up to a multiple of 64 KiB; 0 means 64 MiB, at least 256
	// KiB.
	SegmentSize int64
	// Segments is how many of them are kept; 0 means 3, at least 2.
	Segments int
}

// Check returns an error that says what is wrong with the policy, or nil.
func (p Policy) Check() error {
	_, err := p.checked()
	return err
}

// checked returns the policy with its defaults, or an error that says what is wrong with it.
func (p Policy) checked() (Policy, error) {
	if p.SegmentSize == 0 {
		p.SegmentSize = DefaultSegmentSize
	}
	if p.Segments == 0 {
		p.Segments = DefaultSegments
	}
	if p.SegmentSize < minSegment {
		return p, fmt.Errorf("log segments of %d bytes are too small; use %d or more", p.SegmentSize, minSegment)
	}
	if p.Segments < 2 {
		return p, fmt.Errorf("%d log segments are too few; keep 2 or more", p.Segments)
	}
	p.SegmentSize = (p.SegmentSize + segmentUnit - 1) / segmentUnit * segmentUnit
	return p, nil
}

// keep is how many bytes of a log are kept.
func (p Policy) keep() int64 { return int64(p.Segments) * p.SegmentSize }

// UnsupportedError says that parts of a file cannot be freed here, so that logs grow until they are swept: Linux can,
// on ext4, XFS, Btrfs, ZFS, tmpfs and NFS 4.2. It is an errors.ErrUnsupported.
type UnsupportedError struct {
	// Path is the log that was to be rotated.
	Path string
	// Err is the system's answer.
	Err error
}

// Error says what cannot be done and what helps.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s cannot be rotated (%v): put the logs on a file system that can free parts of a file, like ext4, XFS, Btrfs or tmpfs on Linux", e.Path, e.Err)
}

// Unwrap returns the system's answer.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Is reports true for errors.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }

// Rotate frees the oldest part of a log that has grown beyond what the policy keeps, and returns how many bytes it
// keeps less than before. The log may be written to and read meanwhile, and be rotated by another process. What is kept
// begins with a whole line, unless that is longer than 64 KiB.
//
// The error is fs.ErrNotExist if there is no log, a [*NotLogError] if something else is there, and an
// [*UnsupportedError] where parts of a file cannot be freed; the log is as it was then.
func Rotate(path string, policy Policy) (freed int64, err error) {
	policy, err = policy.checked()
	if err != nil {
		return 0, err
	}
	return rotate(path, policy, punch)
}

// puncher frees a part of a file.
type puncher func(file *os.File, offset, length int64) error

func rotate(path string, policy Policy, punch puncher) (freed int64, err error) {
	file, err := openLog(path, os.O_RDWR)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	if file.size <= policy.keep() {
		return 0, nil
	}
	start, _, err := file.start()
	if err != nil {
		return 0, err
	}
	end, err := file.cutAt(start, policy)
	if err != nil || end <= start {
		return 0, err
	}
	// From the beginning of a block on, so that it is freed as a whole. No more than what one rotation usually frees at
	// once: a writer waits meanwhile.
	for at := start - start%segmentUnit; at < end; {
		next := min(end, at+policy.SegmentSize+lookBack+segmentUnit)
		err := punch(file.File, at, next-at)
		if errors.Is(err, errors.ErrUnsupported) {
			return freed, &UnsupportedError{Path: path, Err: err}
		}
		if err != nil {
			return freed, &os.PathError{Op: "free the beginning of", Path: path, Err: err}
		}
		freed, at = max(0, next-start), next
	}
	return freed, nil
}

// lookBack is how far before the bound of a segment the end of a line is looked for, in bytes.
const lookBack = 64 << 10

// leastBlock is the size that the blocks of all file systems are a multiple of, in bytes.
const leastBlock = 512

// cutAt returns the offset up to which the log is to be freed: the bound of a segment, or a little less, so that it is
// behind the end of a line and within a block. The part of the block that is freed reads as zeros then, which is how a
// reader knows that a line begins behind them.
func (l *log) cutAt(start int64, policy Policy) (int64, error) {
	excess := l.size - policy.keep()
	bound := (excess + policy.SegmentSize - 1) / policy.SegmentSize * policy.SegmentSize
	from := max(start, bound-lookBack)
	if from > bound-lookBack {
		return start, nil // it was freed before
	}
	data, err := l.read(from, bound)
	if err != nil {
		return 0, err
	}
	for end := len(data); ; {
		end = bytes.LastIndexByte(data[:end], '\n')
		if end < 0 {
			return bound, nil
		}
		if at := from + int64(end) + 1; at%leastBlock != 0 {
			return at, nil
		}
	}
}

// Rotation is what [RotateAll] has done.
type Rotation struct {
	// Freed is how many bytes all logs together keep less than before.
	Freed int64
	// Rotated is how many logs that was.
	Rotated int
	// Skipped says why each of the others that should have been rotated was not: a [*NotLogError] for what is no log.
	Skipped []error
}

// RotateAll rotates all logs of the directory. What cannot be rotated is skipped with a reason; the rest is rotated all
// the same. The error says that the directory cannot be read or the policy is wrong, or it is the [*UnsupportedError]
// of the first log that has outgrown the policy: once for the directory, because it would be the same for all.
func RotateAll(dir string, policy Policy) (Rotation, error) {
	policy, err := policy.checked()
	if err != nil {
		return Rotation{}, err
	}
	return rotateAll(dir, policy, punch)
}

func rotateAll(dir string, policy Policy, punch puncher) (Rotation, error) {
	var done Rotation
	entries, err := os.ReadDir(dir)
	if err != nil {
		return done, fmt.Errorf("rotate logs: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), Suffix) {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		if err == nil {
			err = check(path, info)
		}
		if err == nil && info.Size() <= policy.keep() {
			continue
		}
		var freed int64
		if err == nil {
			freed, err = rotate(path, policy, punch)
		}
		switch {
		case errors.Is(err, os.ErrNotExist): // it was swept
			continue
		case errors.Is(err, errors.ErrUnsupported):
			return done, err
		case err != nil:
			done.Skipped = append(done.Skipped, err)
		}
		if freed > 0 {
			done.Freed += freed
			done.Rotated++
		}
	}
	return done, nil
}
