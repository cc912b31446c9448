//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// The models of the workers, as the worker of the end-to-end tests plays them.
const (
	serving = "m"      // it listens at once
	mute    = "mute"   // it never listens, so that it is watched for the whole time
	other   = "other"  // it lets go of its locks and becomes a program of another name, without an environment
	failing = "exit:3" // it says why and ends while it is watched
)

// usualLoad is what every point but those of chance is reached with.
var usualLoad = []string{serving, other, failing, mute, serving, mute}

// job is one queued job.
type job struct {
	id, model string
	twice     bool // it is queued again a moment later, under the same id
}

// ends reports whether the job's worker ends by itself, so that the job fails.
func (j job) ends() bool { return strings.HasPrefix(j.model, "exit:") }

// jobs returns a job for each model, in an order of chance.
func jobs(models []string, chance *rand.Rand) []job {
	all := make([]job, len(models))
	for i, at := range chance.Perm(len(models)) {
		all[i] = job{id: fmt.Sprintf("job-%d-%s", i, strings.ReplaceAll(models[at], ":", "-")), model: models[at], twice: chance.IntN(4) == 0}
	}
	return all
}

// queue puts the job into the queue, however often the server is away: it is there when queue returns nil.
func (st *stage) queue(ctx context.Context, j job) error {
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := st.queen.Enqueue(once, hiveID, messages.Job{JobID: j.id, Model: j.model, Device: "cpu"})
		cancel()
		_, duplicate := errors.AsType[*queen.DuplicateError](err)
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
	for _, j := range all {
		if err := st.queue(ctx, j); err != nil {
			return err
		}
		if j.twice {
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
	return nil
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

// drain waits until the queue is empty and nothing is in anybody's hands.
func (st *stage) drain(ctx context.Context) error {
	left := ""
	err := await(ctx, "the queue is empty", patience, func() bool {
		left = st.left(ctx)
		return left == ""
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %s", err, left)
	}
	return err
}

// left says what is left in the queue; nothing if it is empty.
func (st *stage) left(ctx context.Context) string {
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
	if have.Msgs == 0 && given.NumAckPending == 0 {
		return ""
	}
	return fmt.Sprintf("%d jobs are in the queue (%d not given out), %d are given out and not acknowledged", have.Msgs, given.NumPending, given.NumAckPending)
}
