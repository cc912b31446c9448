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
	log     string // where all of it is
	left    float64
	at      time.Time
	dropped int
}

func newPace(tell func(Step), log string) *pace {
	return &pace{tell: tell, log: log, left: burst, at: time.Now()}
}

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
	p.sayDropped()
	p.tell(Step{Kind: Line, Text: clip(line, tellWidth)})
}

// sayDropped says how much was dropped since the last line that was told.
func (p *pace) sayDropped() {
	if p.dropped > 0 {
		p.tell(Step{Kind: Dropped, Dropped: p.dropped, LogPath: p.log})
	}
	p.dropped = 0
}
