package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/rbee-keeper/hive/internal/cli"
)

// margin stands before everything that belongs to a scene.
const margin = "   "

// stage prints a story in numbered scenes.
type stage struct {
	w      io.Writer
	paint  cli.Paint
	scene  int
	inLine bool // what Write wrote last has not ended its line
}

func newStage(w io.Writer) *stage { return &stage{w: w, paint: cli.NewPaint(w)} }

// title opens the story.
func (s *stage) title(text string) { fmt.Fprintln(s.w, s.paint.Bold(text)) }

// begin opens the next scene with one sentence.
func (s *stage) begin(format string, args ...any) {
	s.scene++
	fmt.Fprintf(s.w, "\n%s\n", s.paint.Bold(fmt.Sprintf("%d. ", s.scene)+fmt.Sprintf(format, args...)))
}

// say prints one line of a scene.
func (s *stage) say(format string, args ...any) {
	fmt.Fprintln(s.w, margin+fmt.Sprintf(format, args...))
}

// narrator returns what shows events on the stage, folded at the edge of the terminal.
func (s *stage) narrator() narrator {
	n := newNarrator(s, nil)
	n.paint = s.paint
	if width := cli.Width(s.w) - len(margin); width > 40 {
		n.fold = func(text string) string { return fold(text, width) }
	}
	return n
}

// fold breaks a text between words into lines of at most width columns; those after the first stand further in.
func fold(text string, width int) string {
	const indent = "  "
	var b strings.Builder
	column := 0
	for i, word := range strings.Split(text, " ") {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+length > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += length
	}
	return b.String()
}

// Write prints text of a scene, each line behind the margin.
func (s *stage) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		before := margin
		if s.inLine {
			before = ""
		}
		if _, err := io.WriteString(s.w, before+line); err != nil {
			return 0, err
		}
		s.inLine = !strings.HasSuffix(line, "\n")
	}
	return len(text), nil
}

// speech prints text as it arrives, broken between words at the margins.
type speech struct {
	stage  *stage
	column int
	word   string
}

// add takes the next piece of the text.
func (s *speech) add(piece string) {
	for _, r := range cli.Printable(piece) {
		if r != ' ' && r != '\n' {
			s.word += string(r)
			continue
		}
		s.flush()
	}
}

// flush prints the word that is complete.
func (s *speech) flush() {
	const width = 90
	length := utf8.RuneCountInString(s.word)
	switch {
	case length == 0:
		return
	case s.column == 0:
		fmt.Fprint(s.stage.w, margin)
	case s.column+1+length > width:
		fmt.Fprint(s.stage.w, "\n"+margin)
		s.column = 0
	default:
		fmt.Fprint(s.stage.w, " ")
		s.column++
	}
	fmt.Fprint(s.stage.w, s.stage.paint.Cyan(s.word))
	s.column += length
	s.word = ""
}

// end prints what is left.
func (s *speech) end() {
	s.flush()
	fmt.Fprintln(s.stage.w)
}

// lastWords is what must still happen when a second signal ends the process at once.
type lastWords struct {
	mu    sync.Mutex
	words func()
}

func newLastWords() *lastWords { return &lastWords{} }

// set replaces what must still happen; nil means nothing.
func (l *lastWords) set(words func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.words = words
}

func (l *lastWords) speak() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.words != nil {
		l.words()
	}
}
