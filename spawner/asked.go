package spawner

import (
	"context"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/health"
	"github.com/rbee-keeper/hive/spawner/process"
)

// Bounds of the question whether workers are ready.
const (
	healthLimit     = time.Second            // for all of a page together
	logsHealthLimit = 100 * time.Millisecond // beside a part of a log: whoever hangs has one, too
)

// asked are workers that were asked for their health.
type asked struct {
	*health.Asked
	m       *machine
	workers []*known        // by question; nil if it turned out not to live
	by      map[*record]int // the questions to those of whom only the record was known
}

// askSoon asks for their health those of the workers whose record was read that seem to live and that listen. They answer while the
// machine is looked at, which tells who they are. Of whom it says nothing, the answer does not count.
func askSoon(m *machine, records []*record) asked {
	a := asked{m: m, by: make(map[*record]int)}
	var questions []health.Question
	for _, rec := range records {
		if m.listening.On(rec.Result.Port) && rec.Process.MayLive() {
			a.by[rec] = len(questions)
			questions = append(questions, rec.question())
		}
	}
	a.workers, a.Asked = make([]*known, len(questions)), health.Ask(questions...)
	return a
}

// met says which worker it is that has the record, and reports whether it was asked.
func (a asked) met(rec *record, k *known) bool {
	i, ok := a.by[rec]
	if ok {
		a.workers[i] = k
	}
	return ok
}

// askHealth asks those of the living workers for their health that listen, and waits for none.
func askHealth(m *machine, workers []*known) asked {
	a := asked{m: m}
	var questions []health.Question
	for _, k := range workers {
		if k.alive && m.listening.On(k.Result.Port) {
			a.workers, questions = append(a.workers, k), append(questions, k.question())
		}
	}
	a.Asked = health.Ask(questions...)
	return a
}

// hear finds out which of them are ready: their health check answers, and it is their own process that does. Who has not answered
// when ctx ends counts as starting.
//
// What proves the answer is a socket that listened before the question was put and that one of the worker's processes has behind
// that. So it is looked for while the workers answer, or behind the answers of those that had to wait for their question.
func (a asked) hear(ctx context.Context) {
	proves := func(k *known) bool { return k != nil && k.alive && k.serves(a.m) }
	proven := make([]bool, a.Put())
	for i := range proven {
		proven[i] = proves(a.workers[i])
	}
	for i, err := range a.Answers(ctx) {
		if err == nil && (i < len(proven) && proven[i] || i >= len(proven) && proves(a.workers[i])) {
			a.workers[i].worker.State = messages.StateReady
			passed(&a.workers[i].worker)
		}
	}
}

// now returns what is true of one worker as it is now, and whether it is ready, for which it takes no longer than limit.
func (s *Spawner) now(ctx context.Context, rec *record, limit time.Duration) known {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m := s.knowing(process.ReadListeningOn(rec.Result.Port, &s.found))
	defer s.seen(m)
	soon := askSoon(m, []*record{rec})
	defer soon.Drop()
	s.took(m.table.TakeFor(rec.Process.Identity))
	k := s.facts(m, *rec)
	switch asked := soon.met(rec, &k); {
	case k.alive && asked:
		soon.hear(ctx)
	case k.alive: // it may be one that the first process left behind who serves
		askHealth(m, []*known{&k}).hear(ctx)
	}
	return k
}

// question returns what the worker is asked to find out whether it serves.
func (r *record) question() health.Question {
	path, status := r.Terms.health()
	return health.Question{Port: r.Result.Port, Path: path, Status: status}
}
