package logs

import (
	"bytes"
	"fmt"
	"os"
)

// DefaultLines is how many lines a tail has where none are asked for.
const DefaultLines = 20

// firstWindow is how much of the end of a log is read first, in bytes.
const firstWindow = 8 << 10

// Tail returns the last lines of a log that lie at or behind the offset from, where a line must begin: 0, or what the
// size of the log was before something was started. lines 0 means [DefaultLines], never more than [MaxLines]; maxBytes
// is how much of the end of the log is looked at, 0 means [DefaultLimit], never more than [MaxLimit]. A line that does
// not fit in begins with an ellipsis.
//
// A last line without an end is returned, too: the chunk is Open then, and Next is where that line begins, so that
// reading on from there shows the whole of it once it has an end.
//
// The error is fs.ErrNotExist if there is no log, and a [*NotLogError] if something else is there.
func Tail(path string, from int64, lines int, maxBytes int64) (Chunk, error) {
	if from < 0 || lines < 0 || maxBytes < 0 {
		return Chunk{}, fmt.Errorf("read the end of %s: offset %d, %d lines, %d bytes: none can be negative", path, from, lines, maxBytes)
	}
	if lines == 0 {
		lines = DefaultLines
	}
	if maxBytes == 0 {
		maxBytes = DefaultLimit
	}
	file, err := openLog(path, os.O_RDONLY)
	if err != nil {
		return Chunk{}, err
	}
	defer func() { _ = file.Close() }()
	return file.stable(from, func(start int64, whole bool) (Chunk, error) {
		return file.tail(from, min(lines, MaxLines), min(maxBytes, MaxLimit), start, whole)
	})
}

// tail returns the last lines behind the offset, for a log that begins at start.
func (l *log) tail(from int64, lines int, maxBytes, start int64, whole bool) (Chunk, error) {
	begin := max(from, start)
	if begin >= l.size {
		return Chunk{Size: l.size, From: begin, Next: begin}, nil
	}
	for window := min(firstWindow, maxBytes); ; window = min(2*window, maxBytes) {
		at, inside := begin, begin > from && !whole
		if l.size-window > begin {
			at, inside = l.size-window-1, true // the byte before tells whether a line begins behind it
		}
		data, err := l.read(at, l.size)
		if err != nil {
			return Chunk{}, err
		}
		if at == begin || window == maxBytes || bytes.Count(data, []byte("\n")) > lines {
			chunk := lastLines(data, at, lines, inside)
			chunk.Size = l.size
			return chunk, nil
		}
	}
}

// lastLines returns the last lines of data, which was read at an offset. inside says that data begins within a line.
func lastLines(data []byte, at int64, lines int, inside bool) Chunk {
	if i := bytes.IndexByte(data, '\n'); inside && i >= 0 && i+1 < len(data) {
		data, at, inside = data[i+1:], at+int64(i)+1, false
	}
	if len(data) == 0 {
		return Chunk{From: at, Next: at}
	}
	next := at + int64(len(data))
	open := data[len(data)-1] != '\n'
	body := bytes.TrimSuffix(data, []byte("\n"))
	if open {
		next = at + int64(bytes.LastIndexByte(body, '\n')+1)
	}
	first := len(body)
	for n := 0; n < lines && first >= 0; n++ {
		first = bytes.LastIndexByte(body[:first], '\n')
	}
	chunk := Chunk{From: at + int64(first+1), Next: next, Inside: inside && first < 0, Open: open}
	for i, line := range bytes.Split(body[first+1:], []byte("\n")) {
		if chunk.Inside && i == 0 {
			chunk.Lines = append(chunk.Lines, "…"+Clean(ending(line)))
			continue
		}
		chunk.Lines = append(chunk.Lines, Clean(line))
	}
	return chunk
}

// ending returns the end of a line whose beginning was not read, from behind a space on if there is one near.
func ending(line []byte) []byte {
	line = line[max(0, len(line)-MaxLine):]
	if i := bytes.IndexAny(line[:min(len(line)/2, spaceWithin)], " \t\r"); i >= 0 {
		return line[i+1:]
	}
	return line
}
