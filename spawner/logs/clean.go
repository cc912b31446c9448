package logs

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape matches what a program sends to steer a terminal (ECMA-48): control sequences, strings like the title of a
// window, and what names a character set.
var escape = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b]*(\x07|\x1b\\\\)?|[ -/]+[0-~])")

// Clean returns what a person sees of a raw line of a log, with or without its end: valid UTF-8 without control
// characters and without what steers a terminal, a tab as one space. Of a progress bar, which draws over itself from
// the last carriage return on, only the last state is left. A line longer than [MaxLine] is cut there.
func Clean(raw []byte) string {
	raw = bytes.TrimRight(raw, "\r\n")
	raw = raw[bytes.LastIndexByte(raw, '\r')+1:]
	text := string(raw)
	if !plain(text) {
		if strings.Contains(text, "\x1b") {
			text = escape.ReplaceAllString(text, "")
		}
		text = strings.Map(visible, strings.ToValidUTF8(text, "\uFFFD"))
	}
	return Cut(text, MaxLine)
}

// plain reports whether the text is printable ASCII, as most of a log is.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

func visible(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case unicode.IsControl(r):
		return -1
	}
	return r
}

// Cut returns the text, or its first bytes and an ellipsis where it is longer; no character is torn.
func Cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}

// spaceWithin is how far from the place where a long line must be broken a space is looked for, in bytes. A credential
// holds no space: one that is not torn can be recognized.
const spaceWithin = 1 << 10

// breakAt returns how much of a line that is too long is one piece: up to a space near the end of raw, else to the end
// of a character, and at least one byte.
func breakAt(raw []byte) int {
	near := max(len(raw)/2, len(raw)-spaceWithin)
	if i := bytes.LastIndexAny(raw[near:], " \t\r"); i >= 0 {
		return near + i + 1
	}
	for i := len(raw) - 1; i > 0 && i > len(raw)-utf8.UTFMax; i-- {
		if utf8.RuneStart(raw[i]) {
			if !utf8.FullRune(raw[i:]) {
				return i
			}
			break
		}
	}
	return len(raw)
}
