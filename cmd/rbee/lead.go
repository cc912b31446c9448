package main

import (
	"cmp"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
)

// lead is what stands before each line of narration and says what the line is about, so that the lines of jobs that run at the same
// time can be told apart: the time, the hive, and the worker or, where there is none, the job. It goes out of line only when a longer
// id comes.
type lead struct {
	clock bool // when it was told
	hive  bool // which hive tells; not where all lines are of one
	about bool // which worker or job
	width struct{ hive, about int }
}

// leastAbout is the width of a worker's id that its hive made, shortened.
const leastAbout = len("worker-44affadc")

// before returns what stands before the text of an event.
func (l *lead) before(e messages.Event, paint cli.Paint) string {
	var parts []string
	if l.clock {
		parts = append(parts, e.Time.Local().Format(time.TimeOnly))
	}
	if l.hive {
		parts = append(parts, pad(cli.Printable(e.HiveID), &l.width.hive))
	}
	if l.about {
		l.width.about = max(l.width.about, leastAbout)
		id := cmp.Or(e.WorkerID, e.JobID)
		if id == "" {
			id = "-" // it is about the hive itself
		}
		parts = append(parts, pad(shortID(cli.Printable(id)), &l.width.about))
	}
	if len(parts) == 0 {
		return ""
	}
	return paint.Dim(strings.Join(parts, " ")) + " "
}

// pad fills text up to the widest that there was.
func pad(text string, width *int) string {
	n := utf8.RuneCountInString(text)
	*width = max(*width, n)
	return text + strings.Repeat(" ", *width-n)
}

// generated matches ids that end with a UUID, with its version.
var generated = regexp.MustCompile(`^(.*-)([0-9a-f]{8})-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{4}([0-9a-f]{8})$`)

// shortID returns an id in a form that is short and tells it from others: a UUID becomes its first 8 digits, or its last where those say
// only when it was made (UUIDv7, RFC 9562). Other ids are as somebody chose them and stay.
func shortID(id string) string {
	parts := generated.FindStringSubmatch(id)
	switch {
	case parts == nil:
		return id
	case parts[3] == "7":
		return parts[1] + "…" + parts[4][1:]
	}
	return parts[1] + parts[2]
}
