package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rbee-keeper/hive/internal/cli"
)

// spareColumns are those that a table of workers does without where it would be too wide, the first of them first.
var spareColumns = []string{"UP", "MEMORY", "HEARD", "PID", "DEVICE", "PORT", "MODEL", "HIVE"}

// workerTable returns the lines of a table of workers, the head first; none is wider than width, unless that is 0. A worker
// that only one of the truths knows stands out.
func workerTable(workers []seenWorker, paint cli.Paint, width int) []string {
	rows := [][]string{{"WORKER", "STATE", "SEEN", "MODEL", "DEVICE", "HIVE", "PORT", "PID", "UP", "MEMORY", "HEARD"}}
	for _, worker := range workers {
		row := workerRow(worker)
		for i := range row {
			row[i] = oneLine(cmp.Or(row[i], "-"))
		}
		rows = append(rows, row)
	}
	shorten(rows, "WORKER")
	lines := fitting(rows, spareColumns, width)
	for i, line := range lines {
		if i > 0 {
			line = shade(paint, workers[i-1].Seen)(line)
		} else {
			line = paint.Bold(line)
		}
		lines[i] = line
	}
	return lines
}

// fitting returns the lines of a table, none wider than width unless that is 0: columns are left out as far as they must be, spare in
// its order.
func fitting(rows [][]string, spare []string, width int) []string {
	lines := inLine(rows)
	for _, column := range spare {
		tooMany := utf8.RuneCountInString(lines[0]) - width
		if width <= 0 || tooMany <= 0 {
			break
		}
		narrower, ok := rows, false
		if column == "MODEL" {
			narrower, ok = squeezed(rows, column, tooMany)
		}
		if !ok {
			narrower = without(rows, column)
		}
		rows, lines = narrower, inLine(narrower)
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(cut(line, width), " ")
	}
	return lines
}

// inLine returns the lines of a table, all of one width.
func inLine(rows [][]string) []string {
	var text bytes.Buffer
	_ = cli.Table(&text, rows...) // writing to a buffer cannot fail
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	width := 0
	for _, line := range lines {
		width = max(width, utf8.RuneCountInString(line))
	}
	for i, line := range lines {
		lines[i] = line + strings.Repeat(" ", width-utf8.RuneCountInString(line))
	}
	return lines
}

// leastColumn is how narrow a column gets before the table does without it.
const leastColumn = 12

// squeezed returns the rows of a table with one column narrower by some letters; false if that would leave too little of it. Of a text that
// is too long its end stays, which is what tells models apart.
func squeezed(rows [][]string, column string, by int) ([][]string, bool) {
	at, widest := slices.Index(rows[0], column), 0
	for _, row := range rows {
		widest = max(widest, utf8.RuneCountInString(row[at]))
	}
	if widest-by < leastColumn {
		return nil, false
	}
	narrower := make([][]string, len(rows))
	for i, row := range rows {
		narrower[i] = slices.Clone(row)
		if text := []rune(row[at]); len(text) > widest-by {
			narrower[i][at] = "…" + string(text[len(text)-(widest-by)+1:])
		}
	}
	return narrower, true
}

// shorten shortens the ids that hives made in one column of a table, unless two of them would look the same.
func shorten(rows [][]string, column string) {
	at := slices.Index(rows[0], column)
	whole := map[string]string{}
	for _, row := range rows[1:] {
		short := shortWorker(row[at])
		if id, there := whole[short]; there && id != row[at] {
			return
		}
		whole[short] = row[at]
	}
	for _, row := range rows[1:] {
		row[at] = shortWorker(row[at])
	}
}

// shortWorker returns the id of a worker in a form that `rbee workers get` takes, too.
func shortWorker(id string) string {
	if short := shortID(id); strings.HasPrefix(id, short) {
		return short
	}
	return id
}

// without returns the rows of a table without one column.
func without(rows [][]string, column string) [][]string {
	at := slices.Index(rows[0], column)
	fewer := make([][]string, len(rows))
	for i, row := range rows {
		fewer[i] = slices.Delete(slices.Clone(row), at, at+1)
	}
	return fewer
}

// workerRow returns what a table says of one worker; what is not known is empty.
func workerRow(w seenWorker) []string {
	row := []string{w.ID, w.State, w.Seen.words(), "", "", w.Hive, "", "", "", "", ""}
	if heard := w.Heard; heard != nil {
		row[3], row[4], row[6], row[7] = heard.ModelID, heard.Device, number(heard.Port), number(heard.PID)
		row[10] = (time.Duration(heard.AgeMS) * time.Millisecond).Round(time.Second).String() + " ago"
	}
	if runs := w.Runs; runs != nil {
		row[3], row[4], row[6], row[7] = runs.Model, runs.Device, number(runs.Port), number(runs.PID)
		row[8], row[9] = span(runs.UptimeMS), size(runs.RSSBytes)
	}
	return row
}

// shade returns how a line of the table is coloured.
func shade(paint cli.Paint, s seen) func(string) string {
	switch s {
	case seenNotRunning:
		return paint.Red
	case seenNotHeard:
		return paint.Yellow
	case seenEnded:
		return paint.Dim
	}
	return func(line string) string { return line }
}

// cut returns line, or its beginning if it is wider than width.
func cut(line string, width int) string {
	runes := []rune(line)
	if width <= 0 || len(runes) <= width {
		return line
	}
	return string(runes[:width-1]) + "…"
}

// number writes a number, and nothing for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// span writes milliseconds as a duration in seconds.
func span(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Truncate(time.Second).String()
}

// size writes bytes as people do, and nothing for 0.
func size(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	value, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for value >= 1024 && len(units) > 1 {
		value, units = value/1024, units[1:]
	}
	return fmt.Sprintf("%.4g %s", value, units[0])
}
