package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/internal/cli"
)

// drawEvery is how often a live table looks for changes.
const drawEvery = time.Second

// What a terminal obeys (ECMA-48): the cursor goes home and out of sight, and what is behind it goes away.
const (
	home       = "\x1b[H"
	clearLine  = "\x1b[K"
	clearBelow = "\x1b[J"
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
)

// watchTable draws the table of workers anew whenever it changes, until it is interrupted, which is its proper end.
func (l *lister) watchTable() error {
	ctx, out := l.cmd.Context(), l.cmd.OutOrStdout()
	screen := screen{w: out}
	defer screen.leave()
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	for {
		known := l.look(ctx)
		if ctx.Err() == nil {
			if err := screen.draw(l.picture(out, known)); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return cli.UntilInterrupted(ctx, ctx.Err())
		}
	}
}

// picture returns the lines to draw: the table, as much of it as the terminal can show, and what could not be asked.
func (l *lister) picture(w io.Writer, known truths) []string {
	width, height := cli.Size(w)
	paint := cli.NewPaint(w)
	workers := known.join(l.hive, l.exited)
	foot := []string{paint.Dim(cut(fmt.Sprintf("workers: %d; Ctrl-C ends it", len(workers)), width))}
	for _, note := range known.notes() {
		foot = append(foot, paint.Yellow(cut(note, width)))
	}
	lines := workerTable(workers, paint, width)
	if room := max(height-len(foot)-2, 1); height > 0 && len(lines) > room {
		more := len(lines) - room
		lines = append(lines[:room], paint.Dim(cut(fmt.Sprintf("… %d more: make the terminal taller, or choose a --hive", more), width)))
	}
	return append(lines, foot...)
}

// screen is a terminal whose picture is drawn in place. Call leave when it is done with.
type screen struct {
	w     io.Writer
	drawn []string // nil before the first picture
}

// draw draws lines if they are not what is there already.
func (s *screen) draw(lines []string) error {
	if s.drawn != nil && slices.Equal(s.drawn, lines) {
		return nil
	}
	var text strings.Builder
	text.WriteString(hideCursor + home)
	for _, line := range lines {
		text.WriteString(clearLine + line + "\r\n") // cleared first: behind a line that fills its row, some terminals clear its last letter
	}
	s.drawn = lines
	_, err := io.WriteString(s.w, text.String()+clearBelow)
	return err
}

// leave gives the cursor back; the last picture stays.
func (s *screen) leave() {
	if s.drawn != nil {
		_, _ = io.WriteString(s.w, showCursor) // fails only if the terminal has gone
	}
}
