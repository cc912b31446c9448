package main

import (
	"cmp"
	"errors"
	"slices"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// truths is what is known of the workers of a fleet: what the machines run and what the queen hears.
type truths struct {
	runs  map[string][]messages.Worker // by hive, of those that answered
	blind []error                      // why others did not
	heard []queen.Worker
	deaf  error // why the queen did not answer; nil if she did
}

// seen says which of the two truths knows a worker.
type seen string

// What can be known of a worker. The first three need both truths.
const (
	seenBoth       seen = "both"
	seenNotHeard   seen = "not_heard"
	seenNotRunning seen = "not_running"
	seenRuns       seen = "runs"  // the queen did not answer
	seenHeard      seen = "heard" // its hive did not answer, or it has none
	seenEnded      seen = "ended"
)

// words is how a person reads it.
func (s seen) words() string {
	switch s {
	case seenBoth:
		return "runs, heard"
	case seenNotHeard:
		return "runs, not heard"
	case seenNotRunning:
		return "heard, not running"
	}
	return string(s)
}

// seenWorker is one worker as `rbee workers` lists it.
type seenWorker struct {
	ID    string           `json:"worker_id"`
	Hive  string           `json:"hive_id"`
	State string           `json:"state"`
	Seen  seen             `json:"seen"`
	Runs  *messages.Worker `json:"runs,omitempty"`  // what its hive says
	Heard *queen.Worker    `json:"heard,omitempty"` // what the queen says
}

// notes says what could not be asked, a line each.
func (t truths) notes() []string {
	var notes []string
	for _, err := range append(t.blind, t.deaf) {
		if err != nil {
			notes = append(notes, oneLine(err.Error()))
		}
	}
	return notes
}

// failure returns why there is nothing to list, or nil if there is. A hive that was named and of which nobody knows anything
// is a failure, too.
func (t truths) failure(hive string, listed int) error {
	switch {
	case len(t.blind) == 0 || len(t.runs) > 0:
		return nil
	case t.deaf != nil:
		return errors.Join(append([]error{t.deaf}, t.blind...)...)
	case hive != "" && listed == 0:
		return errors.Join(t.blind...)
	}
	return nil
}

// join returns the workers of one hive, or of all, sorted by hive and id. Those that have ended are there only if they are
// asked for.
func (t truths) join(hive string, ended bool) []seenWorker {
	heard := map[[2]string]*queen.Worker{}
	for i, w := range t.heard {
		heard[[2]string{w.HiveID, w.ID}] = &t.heard[i]
	}
	all := []seenWorker{}
	for id, workers := range t.runs {
		for i, w := range workers {
			key := [2]string{id, w.WorkerID}
			if heard[key] == nil {
				key[0] = "" // a worker need not know its hive
			}
			all = append(all, t.see(id, &workers[i], heard[key]))
			delete(heard, key)
		}
	}
	for _, w := range heard {
		all = append(all, t.see(w.HiveID, nil, w))
	}
	all = slices.DeleteFunc(all, func(w seenWorker) bool { return hive != "" && w.Hive != hive || !ended && w.Seen == seenEnded })
	slices.SortFunc(all, func(a, b seenWorker) int { return cmp.Or(cmp.Compare(a.Hive, b.Hive), cmp.Compare(a.ID, b.ID)) })
	return all
}

// see puts together what is known of one worker; one of runs and heard may be nil.
func (t truths) see(hive string, runs *messages.Worker, heard *queen.Worker) seenWorker {
	w := seenWorker{Hive: hive, Runs: runs, Heard: heard}
	if heard != nil {
		w.ID, w.State = heard.ID, string(heard.State)
	}
	alive := runs != nil && runs.State != messages.StateExited
	if runs != nil {
		w.ID = runs.WorkerID
		if !alive || !lively(heard) {
			w.State = string(runs.State)
		}
	}
	_, asked := t.runs[hive]
	switch {
	case alive && t.deaf != nil:
		w.Seen = seenRuns
	case alive && lively(heard):
		w.Seen = seenBoth
	case alive:
		w.Seen = seenNotHeard
	case runs == nil && !asked:
		w.Seen = seenHeard
	case lively(heard):
		w.Seen = seenNotRunning
	default:
		w.Seen = seenEnded
	}
	return w
}

// lively reports whether the queen takes a worker for one that lives.
func lively(w *queen.Worker) bool {
	if w == nil {
		return false
	}
	switch w.State {
	case queen.StateStopped, queen.StateStale, queen.StateGone:
		return false
	}
	return true
}
