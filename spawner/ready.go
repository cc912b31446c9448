package spawner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/health"
	"github.com/rbee-keeper/hive/spawner/process"
)

// How often a worker that loads is asked whether it is ready.
const (
	firstHealth = 10 * time.Millisecond
	lastHealth  = 500 * time.Millisecond
)

// answerLimit is how long a worker that loads may take to answer once.
const answerLimit = 5 * time.Second

// awaitReady waits until the worker answers its health check as it should and the answer is proven to be its own, and tells now and
// then that a worker which is not yet ready goes on. It returns nil as soon as alive is false, which is asked again when ended is closed: the
// caller knows how the worker ended. The errors are [messages.NotReady] and, if somebody else answers on the port, [messages.PortInUse].
func (s *Spawner) awaitReady(ctx context.Context, job messages.Job, rec record, alive func() bool, ended <-chan struct{}, tell story) error {
	limit := s.cfg.ReadyTimeout
	if job.ReadyTimeoutMS > 0 {
		limit = job.ReadyTimeout()
	}
	drain := ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	said, asked := s.progress(rec), time.Now()
	var state error
	for delay := firstHealth; alive(); delay = min(2*delay, lastHealth) {
		err := s.healthOf(ctx, rec)
		foreign := errors.Is(err, errForeign)
		if (err == nil || foreign) && !rec.Process.Alive() {
			continue // it ended between the two; alive says so in a moment
		}
		switch {
		case err == nil:
			tell.ready(rec.Result, time.Since(rec.Result.StartedAt))
			return nil
		case foreign && s.isTaken(rec):
			e := s.portInUse(rec.Result.Port, rec.Result.WorkerID)
			return s.unready(e, rec)
		}
		if ctx.Err() == nil || state == nil { // that time is up says nothing about the worker
			state = err
		}
		if time.Since(asked) > s.cfg.SayLoading {
			if now := s.progress(rec); now != said {
				tell.loading(rec.Result, now, time.Since(rec.Result.StartedAt))
				said, asked = now, time.Now()
			}
		}
		if pauseOr(ctx, delay, ended) != nil {
			if drain.Err() != nil {
				return draining("worker %s runs (PID %d) and goes on loading; ask again with the same job", rec.Result.WorkerID, rec.Process.PID)
			}
			return s.notReady(rec, limit, state, s.progress(rec) == said && time.Since(asked) > s.cfg.SayLoading)
		}
	}
	return nil
}

// notReady says that the worker took longer than it may. stands says that it has not moved for a while.
func (s *Spawner) notReady(rec record, limit time.Duration, state error, stands bool) error {
	doing := "it goes on loading"
	if stands {
		doing = fmt.Sprintf("it has neither computed nor written anything for more than %s", s.cfg.SayLoading)
	}
	e := messages.Errorf(messages.NotReady, "worker %s runs (PID %d) but was not ready within %s: %w; %s",
		rec.Result.WorkerID, rec.Process.PID, limit, state, doing)
	e.Retryable = true
	return s.unready(e, rec)
}

// unready completes and keeps the error of a job whose worker runs on.
func (s *Spawner) unready(e *messages.Error, rec record) error {
	e.LivedMS = time.Since(rec.Result.StartedAt).Milliseconds()
	s.dossier(e, rec, 0)
	s.keepFailure(rec, e)
	return e
}

// errForeign is that an answer is not proven to be the worker's. Whose it is may have gone since.
var errForeign = errors.New("who answers on its port is not proven to be the worker")

// healthOf returns nil if the worker says that it serves, and what it says instead otherwise, or [errForeign]. What proves who answers are
// the sockets that listened before the question was put, and those that do behind the answer.
func (s *Spawner) healthOf(ctx context.Context, rec record) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	m := s.knowing(process.ReadListening(&s.found))
	defer s.seen(m)
	if err := health.Ask(rec.question()).Answers(ctx)[0]; err != nil {
		return err
	}
	s.took(m.table.TakeFor(rec.Process.Identity))
	k := s.facts(m, rec)
	if !k.serves(m) || !s.serves(rec) {
		return errForeign
	}
	return nil
}

// isTaken reports whether the worker's port is somebody else's now.
func (s *Spawner) isTaken(rec record) bool {
	m := s.lookAt(rec)
	defer s.seen(m)
	k := s.facts(m, rec)
	return m.listening.Reached(rec.Result.Port) && !k.serves(m)
}
