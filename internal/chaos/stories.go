//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/rbee-keeper/hive/messages"
)

// lag is how far an event may be from the death of the server that took it: the server stores narration behind its back, and the hive
// notices a moment later that nobody listens.
const lag = 500 * time.Millisecond

// reading is what a reader of all events of one job finds.
type reading struct {
	wrong  []string // what breaks a promise
	lost   int      // events that are missing around the death of a server
	untold int      // stories that have no end, because somebody died before it
}

// telling is one story as far as it was read.
type telling struct {
	attempt int
	last    messages.Event
}

func (t *telling) ended() bool {
	return t.last.Terminal || t.last.Action == messages.ActionRetry
}

// read takes the events of a job apart into its stories, one for each time that it was given to a hive, and checks each: seq 1, 2,
// 3 … without a gap, one end, nothing behind it. While no server dies, all of that is promised of a story whose hive lives; a killed
// hive leaves the beginning of one. A killed server takes with it what came to it around its death. A job that is spent may come to its last
// end without a word, if its hive dies.
func read(events []messages.Event, deaths []death, spent bool) (r reading) {
	var stories []*telling
	ids := map[string]bool{}
	for _, e := range events {
		if ids[e.ID] {
			r.wrong = append(r.wrong, fmt.Sprintf("event %d of attempt %d is there twice", e.Seq, e.Attempt))
		}
		ids[e.ID] = true
		s := r.place(e, stories, deaths)
		if s == nil {
			s = &telling{attempt: e.Attempt}
			stories = append(stories, s)
		}
		s.last = e
	}
	whole := false
	for _, s := range stories {
		switch {
		case s.last.Terminal:
			whole = true
		case s.ended():
		case died(deaths, s.last.Time):
			r.untold++
		default:
			r.wrong = append(r.wrong, fmt.Sprintf("the story of attempt %d ends with event %d (%s), and nobody died", s.attempt, s.last.Seq, s.last.Action))
		}
	}
	if !whole && !serverDied(deaths) && !(spent && len(deaths) > 0) {
		r.wrong = append(r.wrong, "no story of it has an end, and no server died")
	}
	return r
}

// place returns the story that e goes on with; nil if it begins one.
func (r *reading) place(e messages.Event, stories []*telling, deaths []death) *telling {
	var before *telling                          // the story that e may belong to if events are missing
	for _, s := range slices.Backward(stories) { // a request that is asked again counts no attempts
		if s.attempt != e.Attempt || s.ended() {
			continue
		}
		if s.last.Seq == e.Seq-1 {
			return s
		}
		if s.last.Seq < e.Seq && before == nil {
			before = s
		}
	}
	if e.Seq == 1 {
		return nil
	}
	since, missing := time.Time{}, e.Seq-1
	if before != nil {
		since, missing = before.last.Time, e.Seq-1-before.last.Seq
	}
	if !serverDiedBetween(deaths, since, e.Time) {
		r.wrong = append(r.wrong, fmt.Sprintf("attempt %d: event %d (%s) has no event %d before it, and no server died", e.Attempt, e.Seq, e.Action, e.Seq-1))
		return before
	}
	r.lost += missing
	return before
}

// died reports whether anybody died after a moment.
func died(deaths []death, since time.Time) bool {
	for _, d := range deaths {
		if d.server && d.at.After(since.Add(-lag)) || !d.server && d.at.After(since) {
			return true
		}
	}
	return false
}

func serverDied(deaths []death) bool { return serverDiedBetween(deaths, time.Time{}, time.Now()) }

func serverDiedBetween(deaths []death, since, until time.Time) bool {
	for _, d := range deaths {
		if d.server && d.at.After(since.Add(-lag)) && d.at.Before(until.Add(lag)) {
			return true
		}
	}
	return false
}
