package spawner

import (
	"os"
	"unicode/utf8"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/logs"
)

// What an answer carries of a worker's log at most.
const (
	tailLines = 20
	tailBytes = 8 << 10
	lineBytes = 1 << 10
)

// logTail returns the last lines of the log behind the offset from, oldest first, without credentials and without the
// empty ones at the end.
func logTail(path string, from int64) []string {
	chunk, err := logs.Tail(path, from, logs.MaxLines, tailBytes)
	if err != nil {
		return nil
	}
	lines := chunk.Lines
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return nil
	}
	cut := chunk.Inside && len(lines) <= tailLines // the beginning of the first was not read
	lines = lines[max(0, len(lines)-tailLines):]
	for i, line := range lines {
		line = messages.Redact(line)
		if cut && i == 0 {
			line = ending(line)
		}
		lines[i] = logs.Cut(line, lineBytes)
	}
	return lines
}

// ending returns the end of a long line behind an ellipsis: what a worker that ends no line said last.
func ending(line string) string {
	const ellipsis = "…"
	at := len(line) - (lineBytes - len(ellipsis))
	if at <= 0 {
		return line
	}
	for at < len(line) && !utf8.RuneStart(line[at]) {
		at++
	}
	return ellipsis + line[at:]
}

// sizeOf returns the size of a log in bytes; 0 if there is none.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
