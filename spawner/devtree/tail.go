package devtree

import (
	"slices"
	"strings"
)

// Bounds of what an error says of a build's output.
const (
	tailLines  = 20 // of a build that says nothing which looks like an error
	errorLines = 60 // of the compiler's own errors
	tellWidth  = 400
)

// tail keeps of a build's output what tells why it failed: the compiler's errors, each from its first line to the next empty
// one, and the last lines.
type tail struct {
	last   []string
	errors []string
	within bool
	more   int // errors of which nothing is kept
}

func (t *tail) line(line string) {
	line = clip(line, tellWidth)
	if strings.TrimSpace(line) != "" {
		if len(t.last) == tailLines {
			t.last = slices.Delete(t.last, 0, 1)
		}
		t.last = append(t.last, line)
	}
	switch {
	case isError(line):
		if len(t.errors) >= errorLines {
			t.within = false
			t.more++
			return
		}
		t.within = true
	case strings.TrimSpace(line) == "" || isOther(line):
		t.within = false
	}
	if t.within && len(t.errors) < errorLines {
		t.errors = append(t.errors, line)
	}
}

// isError reports whether a line begins an error of rustc or Cargo, which is at the left margin: "error[E0308]: …", "error: …".
func isError(line string) bool {
	return strings.HasPrefix(line, "error[") || strings.HasPrefix(line, "error:")
}

// isOther reports whether a line begins something else that they say.
func isOther(line string) bool {
	return strings.HasPrefix(line, "warning:") || strings.HasPrefix(line, "warning[")
}

// lines returns what to tell.
func (t *tail) lines() []string {
	if len(t.errors) == 0 {
		return slices.Clone(t.last)
	}
	return slices.Clone(t.errors)
}

// first returns the first error in one line, with its place where that is told; the last line of the output if there is no
// error in it.
func (t *tail) first() string {
	if len(t.errors) == 0 {
		if len(t.last) == 0 {
			return ""
		}
		return strings.TrimSpace(t.last[len(t.last)-1])
	}
	text := t.errors[0]
	if len(t.errors) > 1 {
		if place, ok := strings.CutPrefix(strings.TrimSpace(t.errors[1]), "--> "); ok {
			text += " (" + place + ")"
		}
	}
	return text
}
