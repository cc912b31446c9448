package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Paint colours text for one stream; the zero value leaves it as it is.
type Paint struct{ on bool }

// NewPaint returns what colours text written to w: only if w is a terminal that takes colours and NO_COLOR is not set.
func NewPaint(w io.Writer) Paint {
	return Paint{on: IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Width returns the columns of the terminal that w is; 0 if it is none.
func Width(w io.Writer) int {
	width, _ := Size(w)
	return width
}

// Size returns the columns and lines of the terminal that w is; 0 if it is none.
func Size(w io.Writer) (width, height int) {
	file, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	width, height, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

// Red is for failures.
func (p Paint) Red(text string) string { return p.in("31", text) }

// Green is for what was reached.
func (p Paint) Green(text string) string { return p.in("32", text) }

// Yellow is for warnings.
func (p Paint) Yellow(text string) string { return p.in("33", text) }

// Cyan is for what one can type or visit.
func (p Paint) Cyan(text string) string { return p.in("36", text) }

// Bold is for titles.
func (p Paint) Bold(text string) string { return p.in("1", text) }

// Dim is for what matters less.
func (p Paint) Dim(text string) string { return p.in("2", text) }

func (p Paint) in(code, text string) string {
	if !p.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
