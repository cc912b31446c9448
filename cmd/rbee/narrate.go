package main

import (
	"fmt"
	"io"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
)

// narrator writes events for people, one line each.
type narrator struct {
	w     io.Writer
	paint cli.Paint
	lead  *lead
	fold  func(string) string // breaks a long text into lines; nil: it stays one
}

// newNarrator returns a narrator whose lines begin with a lead; nil is none.
func newNarrator(w io.Writer, l *lead) narrator {
	if l == nil {
		l = new(lead)
	}
	return narrator{w: w, paint: cli.NewPaint(w), lead: l}
}

// tell writes one event. Failures are red, warnings yellow, what was reached is green, and details are dim.
func (n narrator) tell(e messages.Event) {
	text := oneLine(e.Human)
	if n.fold != nil {
		text = n.fold(text)
	}
	switch {
	case e.Level == messages.LevelError:
		text = n.paint.Red(text)
	case e.Level == messages.LevelWarn:
		text = n.paint.Yellow(text)
	case e.Terminal, e.Action == messages.ActionReady:
		text = n.paint.Green(text)
	case e.Action == messages.ActionSpawnStart, e.Action == messages.ActionSpawned, e.Action == messages.ActionDeleteStart, e.Seq == 0:
	default:
		text = n.paint.Dim(text)
	}
	fmt.Fprintln(n.w, n.lead.before(e, n.paint)+text)
}
