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

// now returns what is true of one worker as it is now, and whether it is ready, for which it takes no longer than limit.
func (s *Spawner) now(ctx context.Context, rec record, limit time.Duration) known {
	m := s.knowing(process.ReadListeningOn(rec.Result.Port))
	defer s.seen(m)
	workers := []known{{record: rec, alive: rec.Process.Alive()}}
	a := askHealth(m, workers) // it answers while the machine is looked at
	defer a.Drop()
	s.took(m.table.TakeFor(rec.Process.Identity))
	workers[0] = s.facts(m, rec)
	if !workers[0].alive {
		return workers[0]
	}
	if len(a.workers) == 0 { // it may be one that the first process left behind who serves
		a = askHealth(m, workers)
	}
	a.hear(ctx, limit)
	return workers[0]
}

// asked are workers that were asked for their health.
type asked struct {
	*health.Asked
	m       *machine
	workers []*known
}

// askHealth asks those of the living workers for their health that listen, and waits for none.
func askHealth(m *machine, workers []known) asked {
	a := asked{m: m}
	var questions []health.Question
	for i := range workers {
		if k := &workers[i]; k.alive && m.listening.On(k.Result.Port) {
			a.workers, questions = append(a.workers, k), append(questions, k.question())
		}
	}
	a.Asked = health.Ask(questions...)
	return a
}

// hear finds out which of them are ready: their health check answers, and it is their own process that does. It takes no longer than
// limit; who has not answered by then counts as starting.
//
// What proves the answer is a socket that listened before the question was put and that one of the worker's processes has behind
// that. So it is looked for while the workers answer, or behind the answers of those that had to wait for their question.
func (a asked) hear(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	proven := make([]bool, a.Put())
	for i := range proven {
		proven[i] = a.workers[i].serves(a.m)
	}
	for i, err := range a.Answers(ctx) {
		if k := a.workers[i]; err == nil && (i < len(proven) && proven[i] || i >= len(proven) && k.serves(a.m)) {
			k.worker.State = messages.StateReady
		}
	}
}

// question returns what the worker is asked to find out whether it serves.
func (r *record) question() health.Question {
	path, status := r.Terms.health()
	return health.Question{Port: r.Result.Port, Path: path, Status: status}
}
