package main

import (
	"fmt"
	"io"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
)

// narrator writes events for people, one line each.
type narrator struct {
	w      io.Writer
	paint  cli.Paint
	before func(messages.Event) string // what stands before the text; nil: nothing
	fold   func(string) string         // breaks a long text into lines; nil: it stays one
}

func newNarrator(w io.Writer, before func(messages.Event) string) narrator {
	return narrator{w: w, paint: cli.NewPaint(w), before: before}
}

// tell writes one event. Failures are red, warnings yellow, what was reached is green, and details are dim.
func (n narrator) tell(e messages.Event) {
	text := messages.OneLine(cli.Printable(e.Human))
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
	before := ""
	if n.before != nil {
		before = n.before(e)
	}
	fmt.Fprintln(n.w, before+text)
}
