package spawner

import (
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"

	"github.com/rbee-keeper/hive/messages"
)

// What an answer carries of a worker's log at most.
const (
	tailLines = 20
	tailBytes = 8 << 10
	lineBytes = 1 << 10
)

// fileSize returns the size of the file in bytes, 0 if there is none.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// logTail returns the last lines of the log behind the offset from, oldest first, without credentials, and made
// printable: a log may hold anything.
func logTail(path string, from int64) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	start := max(from, fileSize(path)-tailBytes)
	data, err := io.ReadAll(io.NewSectionReader(file, start, tailBytes))
	if err != nil {
		return nil
	}
	text := strings.TrimRight(string(data), "\r\n")
	if start > from {
		_, text, _ = strings.Cut(text, "\n") // the first line is cut
	}
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	for i, line := range lines {
		lines[i] = messages.Redact(printable(line))
	}
	return lines
}

// escape matches what a program sends to colour a terminal (ECMA-48 control sequences and operating system commands).
var escape = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?)")

// printable returns the line as valid UTF-8 without colours and control characters, cut where it is very long.
func printable(line string) string {
	line = escape.ReplaceAllString(line, "")
	if len(line) > lineBytes {
		line = line[:lineBytes] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "�"))
}
