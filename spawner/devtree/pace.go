package devtree

import (
	"strings"
	"time"
)

// How much of a build's output is told: so many lines at once, and so many a second on the long run.
const (
	burst     = 40
	perSecond = 10
)

// pace passes on the lines of an output at a bounded rate and says how many it dropped.
type pace struct {
	tell    func(Step)
	left    float64
	at      time.Time
	dropped int
}

func newPace(tell func(Step)) *pace { return &pace{tell: tell, left: burst, at: time.Now()} }

func (p *pace) line(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	now := time.Now()
	p.left = min(burst, p.left+now.Sub(p.at).Seconds()*perSecond)
	p.at = now
	if p.left < 1 {
		p.dropped++
		return
	}
	p.left--
	p.sayDropped("")
	p.tell(Step{Kind: Line, Text: clip(line, tellWidth)})
}

// end says what was dropped last, and where it is.
func (p *pace) end(log string) { p.sayDropped(log) }

func (p *pace) sayDropped(log string) {
	if p.dropped > 0 {
		p.tell(Step{Kind: Dropped, Dropped: p.dropped, LogPath: log})
	}
	p.dropped = 0
}
