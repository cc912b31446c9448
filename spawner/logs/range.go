package logs

import (
	"bytes"
	"fmt"
	"os"
)

// Range reads a log on from an offset: whole lines, at most limit bytes of them (0 means [DefaultLimit]; never more
// than [MaxLimit]) and at most [MaxLines]. A line that is longer than the limit or [MaxLine] is returned in pieces, so
// that what follows from [Chunk.Next] to Chunk.Next is every byte of the log, once.
//
// A line without an end is left for later, unless ended says that the worker has ended and no more of it will come.
// Where the offset lies before what is kept, the chunk begins at the first whole line that is, and Missed says how much
// is gone. At or beyond the end of the log the chunk is empty.
//
// The error is fs.ErrNotExist if there is no log, and a [*NotLogError] if something else is there.
func Range(path string, from, limit int64, ended bool) (Chunk, error) {
	switch {
	case from < 0:
		return Chunk{}, fmt.Errorf("read %s: offset %d lies before the beginning; use 0", path, from)
	case limit < 0:
		return Chunk{}, fmt.Errorf("read %s: a limit of %d bytes; use 0 for %d", path, limit, DefaultLimit)
	case limit == 0:
		limit = DefaultLimit
	}
	file, err := openLog(path, os.O_RDONLY)
	if err != nil {
		return Chunk{}, err
	}
	defer func() { _ = file.Close() }()
	return file.stable(from, func(start int64, whole bool) (Chunk, error) {
		return file.lines(from, min(limit, MaxLimit), start, whole, ended)
	})
}

// stable calls read until nothing behind the offset was freed meanwhile. Each further turn takes a worker that has
// filled another segment, so there are few.
func (l *log) stable(from int64, read func(start int64, whole bool) (Chunk, error)) (Chunk, error) {
	for {
		start, whole, err := l.start()
		if err != nil {
			return Chunk{}, err
		}
		chunk, err := read(start, whole)
		if err != nil {
			return Chunk{}, err
		}
		after, still, err := l.start()
		if err != nil {
			return Chunk{}, err
		}
		if after == start && still == whole || max(after, start) <= from {
			chunk.Start = after
			return chunk, nil
		}
	}
}

// lines returns the chunk from the offset on, for a log that begins at start.
func (l *log) lines(from, limit, start int64, whole, ended bool) (Chunk, error) {
	begin := max(from, start)
	if begin >= l.size {
		return Chunk{Size: l.size, From: begin, Next: begin, Missed: begin - from}, nil
	}
	before := min(begin-start, 1) // the byte before tells whether a line begins here
	data, err := l.read(begin-before, min(begin+limit, l.size))
	if err != nil {
		return Chunk{}, err
	}
	inside := from <= start && !whole
	if before > 0 {
		inside = data[0] != '\n'
		data = data[1:]
	}
	full := begin+int64(len(data)) < l.size
	if inside && from <= start {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			begin, data, inside = begin+int64(i)+1, data[i+1:], false
		}
	}
	chunk := Chunk{Size: l.size, From: begin, Next: begin, Missed: begin - from, Inside: inside}
	for len(data) > 0 && len(chunk.Lines) < MaxLines {
		n := nextLine(data, full, ended, len(chunk.Lines) == 0)
		if n == 0 {
			break
		}
		chunk.Lines = append(chunk.Lines, Clean(data[:n]))
		chunk.Open = data[n-1] != '\n'
		chunk.Next += int64(n)
		data = data[n:]
	}
	return chunk, nil
}

// nextLine returns the length of the first line in data, with its end, or of the first piece of one that is too long,
// or 0 if that must be read later. full says that more of the log lies behind data, first that nothing else was read
// with it.
func nextLine(data []byte, full, ended, first bool) int {
	end := bytes.IndexByte(data[:min(len(data), MaxLine+1)], '\n')
	switch {
	case end >= 0:
		return end + 1
	case len(data) > MaxLine:
		return breakAt(data[:MaxLine])
	case full && first:
		return breakAt(data)
	case !full && ended:
		return len(data)
	}
	return 0
}
