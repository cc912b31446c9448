//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// The models of the workers, as the worker of the end-to-end tests plays them.
const (
	serving = "m"       // it listens at once
	mute    = "mute"    // it never listens, so that it is watched for the whole time
	other   = "other"   // it lets go of its locks and becomes a program of another name, without an environment
	failing = "exit:3"  // it says why and ends while it is watched
	loading = "loading" // it listens and is never ready
	fading  = "fades:7" // it listens, and ends once it is asked for its health
)

// usualLoad is what every point but those of chance is reached with.
var usualLoad = []string{serving, other, failing, mute, serving, mute}

// job is one job of a round.
type job struct {
	id, model string
	twice     bool // it is queued again a moment later, under the same id
	asked     bool // it is a request, and asked again until it has an answer

	worker  string // the worker's id; empty is one of its own
	deletes bool   // it ends that worker
	behind  int    // it is queued once the job at this place has a result; -1 if it waits for none

	ready   bool          // it waits until its worker is ready
	limit   time.Duration // how long, if that is bounded
	port    int           // which of the ports that no job is given unless it asks for them, from 1; 0 is any of the others
	squat   bool          // another process listens on the port as soon as the worker runs
	edits   bool          // a source is edited before it is queued
	word    int           // the edit of the source that must be in its worker at least
	fails   messages.Code // what its failure must be; empty if it must succeed
	mayFail messages.Code // what it may fail with beside that
	spent   bool          // it fails for now each time that it is tried
}

// workerID is the id of the worker that the job starts or ends.
func (j job) workerID() string {
	if j.worker != "" {
		return j.worker
	}
	return messages.WorkerID(hiveID, j.id)
}

// starts reports whether a worker is started for the job.
func (j job) starts() bool { return !j.deletes && j.fails != messages.NoFreePort }

// jobs returns a job for each model, in an order of chance.
func jobs(models []string, chance *rand.Rand) []job {
	all := make([]job, len(models))
	for i, at := range chance.Perm(len(models)) {
		all[i] = job{id: fmt.Sprintf("job-%d-%s", i, strings.ReplaceAll(models[at], ":", "-")), model: models[at], twice: chance.IntN(4) == 0, behind: -1}
		if strings.HasPrefix(models[at], "exit:") {
			all[i].fails = messages.WorkerExited
		}
	}
	return all
}

// spawn is what a job that starts a worker asks for.
func (st *stage) spawn(j job) messages.Job {
	asks := messages.Job{JobID: j.id, Model: j.model, Device: "cpu", WorkerID: j.worker, Port: st.ports.reserved(j.port), ReadyTimeoutMS: j.limit.Milliseconds()}
	if j.ready {
		asks.Wait = messages.WaitReady
	}
	return asks
}

// queue puts the job into the queue, however often the server is away: it is there when queue returns nil.
func (st *stage) queue(ctx context.Context, j job) error {
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		var receipt queen.Receipt
		var err error
		if j.deletes {
			receipt, err = st.queen.EnqueueDelete(once, hiveID, messages.DeleteJob{JobID: j.id, WorkerID: j.worker, GraceMS: 200})
		} else {
			receipt, err = st.queen.Enqueue(once, hiveID, st.spawn(j))
		}
		cancel()
		_, duplicate := errors.AsType[*queen.DuplicateError](err)
		if err == nil {
			st.mu.Lock()
			st.places[j.id] = receipt.Sequence
			st.mu.Unlock()
		}
		if err == nil || duplicate {
			return nil
		}
		if wait(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("queue job %s: %w", j.id, err)
		}
	}
}

// send queues all jobs within a time, and some of them twice.
func (st *stage) send(ctx context.Context, all []job, within time.Duration) error {
	pause := within / time.Duration(len(all))
	var again []job
	var aside asides
	defer func() { _ = aside.Wait() }() // also where another job could not be queued
	for i := range all {
		if st.edits != nil {
			if all[i].edits {
				if err := st.edits.save(); err != nil {
					return err
				}
			}
			all[i].word = st.edits.number
		}
		j := all[i]
		var err error
		switch {
		case j.asked:
			aside.Go(func() error { return st.ask(ctx, j) })
		case j.behind >= 0:
			before := all[j.behind].id
			aside.Go(func() error { return st.queueBehind(ctx, j, before) })
		default:
			err = st.queue(ctx, j)
		}
		if err != nil {
			return err
		}
		if j.twice && !j.asked && j.behind < 0 {
			again = append(again, j)
		}
		if pause > 0 && wait(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
	for _, j := range again {
		if err := st.queue(ctx, j); err != nil {
			return err
		}
	}
	return aside.Wait()
}

// asides are goroutines beside the one that sends, and the first error of one.
type asides struct {
	sync.WaitGroup
	once sync.Once
	err  error
}

// Go has f run.
func (a *asides) Go(f func() error) {
	a.WaitGroup.Go(func() {
		if err := f(); err != nil {
			a.once.Do(func() { a.err = err })
		}
	})
}

// Wait returns when all have ended.
func (a *asides) Wait() error {
	a.WaitGroup.Wait()
	return a.err
}

// queueBehind queues the job once another has a result.
func (st *stage) queueBehind(ctx context.Context, j job, before string) error {
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		known, err := st.queen.Job(once, hiveID, before)
		cancel()
		if err == nil && known.Answer != nil {
			return st.queue(ctx, j)
		}
		if wait(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("job %s waits for %s: %w", j.id, before, context.Cause(ctx))
		}
	}
}

// sendAside does what send does beside the rest. The function that it returns waits for that, however often it is called; what goes wrong
// without the server lasts patience at most.
func (st *stage) sendAside(ctx context.Context, all []job, within time.Duration) (sent func() error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		defer cancel()
		err = st.send(ctx, all, within)
	}()
	return func() error {
		<-done
		return err
	}
}

// drain waits until the queue is empty and nothing is in anybody's hands. Jobs that are spent may stay there when they were given out as often
// as they may be.
func (st *stage) drain(ctx context.Context, all []job) error {
	left := ""
	err := await(ctx, "the queue is empty", patience, func() bool {
		left = st.left(ctx, all)
		return left == ""
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %s", err, left)
	}
	return err
}

// left says what is left in the queue; nothing if it is empty.
func (st *stage) left(ctx context.Context, all []job) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	names := messages.Subjects{}.Streams()
	stream, err := st.js.Stream(ctx, names.Jobs)
	if err != nil {
		return err.Error()
	}
	consumer, err := stream.Consumer(ctx, names.Consumer(hiveID))
	if err != nil {
		return err.Error()
	}
	have, given := stream.CachedInfo().State, consumer.CachedInfo()
	if have.Msgs == 0 && given.NumAckPending == 0 || st.givenUp(ctx, all, have.Msgs) {
		return ""
	}
	return fmt.Sprintf("%d jobs are in the queue (%d not given out), %d are given out and not acknowledged", have.Msgs, given.NumPending, given.NumAckPending)
}
