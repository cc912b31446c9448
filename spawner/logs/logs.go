// Package logs reads, rotates and sweeps the log files of workers.
//
// A worker writes its stdout and stderr itself, to one file that is opened with O_APPEND: nobody stands between the two, so
// that a worker outlives whoever started it. Such a file can be neither renamed nor cut without the worker's help. What can be
// done behind its back is to give the oldest blocks back to the file system (a hole, fallocate(2)): the file keeps its size
// and every byte that is left its offset. So
//
//   - an offset in a log names the same byte for ever, and a reader needs no protocol for rotation: it goes on at
//     [Chunk.Next], and what was freed meanwhile is counted in [Chunk.Missed];
//   - nothing is copied and nothing is moved: no line of what is kept can be lost;
//   - no state is kept: where a log begins today is where the file system has its first data.
//
// [Tail] reads the end, [Range] reads on from an offset, [Rotate] frees the oldest part, [Sweep] removes the logs of workers
// that have ended. All of them use bounded memory whatever a log holds.
package logs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Suffix is how the name of every log ends. Other files of a log directory are left alone.
const Suffix = ".log"

// The bounds of what is read at once.
const (
	// DefaultLimit is how many bytes are read where none are asked for.
	DefaultLimit = 64 << 10
	// MaxLimit is how many bytes are read at most. As JSON they become up to twice as many, six times with the escapes
	// for HTML.
	MaxLimit = 512 << 10
	// MaxLines is how many lines are returned at most.
	MaxLines = 10_000
	// MaxLine is where a line is cut or broken, in bytes.
	MaxLine = 16 << 10
)

// Chunk is a part of a log. Its lines are made printable by [Clean].
type Chunk struct {
	// Size is the size of the log in bytes, with what was freed.
	Size int64
	// Start is the offset of the first byte that is still kept; 0 as long as nothing was freed.
	Start int64
	// From is the offset of the first byte of Lines.
	From int64
	// Next is the offset where to read on: behind the last byte of Lines, but for a [Tail] that is Open before its last line.
	Next int64
	// Missed says how many bytes between the offset that was asked for and From are gone.
	Missed int64
	// Lines are the lines, oldest first, without their ends.
	Lines []string
	// Inside says that the first line is the rest of one that begins before From: of one too long, or because the offset that
	// was asked for lies within a line.
	Inside bool
	// Open says that no end of line stands behind the last line: more of it may come.
	Open bool
}

// NotLogError says that a path does not name a log: a regular file of this user under one name. Whoever may write to a log
// directory could have any other file read or freed.
type NotLogError struct {
	// Path is the path as it was given.
	Path string
	// Reason says what is there instead, to be read behind the path.
	Reason string
}

// Error says what is at the path.
func (e *NotLogError) Error() string {
	return fmt.Sprintf("%s is not the log of a worker: it %s", e.Path, e.Reason)
}

// log is an open log.
type log struct {
	*os.File
	size int64
}

// openLog opens the log at the path. The error is fs.ErrNotExist if there is none, and a [*NotLogError] if something else is
// there.
func openLog(path string, flag int) (*log, error) {
	info, err := os.Lstat(path) // before the open, which for a device has effects
	if err != nil {
		return nil, err
	}
	if err := check(path, info); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, flag|openFlags, 0)
	if err != nil {
		return nil, err
	}
	info, err = file.Stat()
	if err == nil {
		err = check(path, info)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &log{File: file, size: info.Size()}, nil
}

// check returns an error unless info, of the file itself and not of what a link names, is that of a log.
func check(path string, info fs.FileInfo) error {
	reason := foreign(info)
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		reason = "is a symbolic link"
	case mode.IsDir():
		reason = "is a directory"
	case !mode.IsRegular():
		reason = "is not a regular file (" + mode.String() + ")"
	}
	if reason != "" {
		return &NotLogError{Path: path, Reason: reason}
	}
	return nil
}

// refresh asks for the size again.
func (l *log) refresh() error {
	info, err := l.Stat()
	if err == nil {
		l.size = info.Size()
	}
	return err
}

// read returns the bytes from one offset up to another, or up to the end of the file where that comes first.
func (l *log) read(from, to int64) ([]byte, error) {
	if from >= to {
		return nil, nil
	}
	data := make([]byte, to-from)
	n, err := l.ReadAt(data, from)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], err
}

// maxBlock is more than what a file system frees at once; what lies between a cut and the next block is zeroed instead. Huge
// pages of a tmpfs are the largest.
const maxBlock = 4 << 20

// start returns the offset of the first byte that is kept, and whether a line begins there. A cut is made behind the end
// of a line and never at the bound of a block ([cutAt]), so zeros between the hole and the first byte mean that it is whole.
func (l *log) start() (offset int64, whole bool, err error) {
	data, err := firstData(l.File, l.size)
	for err == nil && data > 0 {
		if offset, err = l.behindZeros(data); err != nil {
			break
		}
		if offset == data {
			return offset, false, nil
		}
		// What was freed behind firstData's back reads as zeros, too, and so far only up to a bound of segments.
		before := data
		if data, err = firstData(l.File, l.size); data == before {
			return offset, true, err
		}
	}
	return 0, err == nil, err
}

// behindZeros returns the offset of the first byte at or behind data that is not zero, as far as a block can reach.
func (l *log) behindZeros(data int64) (int64, error) {
	buf := make([]byte, 4<<10)
	for offset := data; ; {
		n, err := l.ReadAt(buf, offset)
		zeros := 0
		for zeros < n && buf[zeros] == 0 {
			zeros++
		}
		offset += int64(zeros)
		switch {
		case zeros < n, errors.Is(err, io.EOF), err == nil && offset >= min(data+maxBlock, l.size):
			return offset, nil
		case err != nil:
			return 0, err
		}
	}
}
