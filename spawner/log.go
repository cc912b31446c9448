package spawner

import (
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
	lines = lines[max(0, len(lines)-tailLines):]
	for i, line := range lines {
		lines[i] = logs.Cut(messages.Redact(line), lineBytes)
	}
	return lines
}
