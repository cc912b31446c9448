package queen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// How often a waiting caller looks into the streams: what is published meanwhile reaches it at once, unless its connection was
// away or nobody publishes anything, because the job has expired.
const (
	lookSoon = time.Second
	lookLate = 15 * time.Second
	// lookTime bounds one look.
	lookTime = 3 * time.Second
)

// PendingError says that a queued job has no outcome yet and that nobody waits for it any more. The job stays where it is.
type PendingError struct {
	// HiveID and JobID say which job it is; wait for them again.
	HiveID, JobID string
	// Err is why the waiting ended.
	Err error
}

// Error says what to do.
func (e *PendingError) Error() string {
	return fmt.Sprintf("wait for queued job %s of hive %s: %v; it stays in the queue: look at it with `rbee jobs get %s`", e.JobID, e.HiveID, e.Err, e.JobID)
}

// Unwrap returns Err.
func (e *PendingError) Unwrap() error { return e.Err }

// EndedError says that a queued job ended without a result.
type EndedError struct {
	// Job is what is known of it.
	Job QueuedJob
}

// Error says what became of it.
func (e *EndedError) Error() string {
	const again = "try it again with `rbee jobs retry "
	job := e.Job
	switch job.State {
	case JobDead:
		why := fmt.Sprintf("hive %s was given it %d times and never said that it is done", job.HiveID, job.Attempts)
		if job.Reason != "" {
			why = "hive " + job.HiveID + " gave it up: " + messages.OneLine(job.Reason)
		}
		return fmt.Sprintf("job %s is dead: %s; %s%s`", job.JobID, why, again, job.JobID)
	case JobCancelled:
		return fmt.Sprintf("job %s was cancelled before hive %s saw it", job.JobID, job.HiveID)
	case JobFailed:
		return fmt.Sprintf("job %s has no result that can be believed: %s; %s%s`", job.JobID, messages.OneLine(job.Reason), again, job.JobID)
	case JobExpired:
		return fmt.Sprintf("job %s has expired: hive %s did not come for it in time; %s%s`", job.JobID, job.HiveID, again, job.JobID)
	}
	return fmt.Sprintf("job %s left the queue of hive %s without a result: somebody may have removed it; %s%s`", job.JobID, job.HiveID, again, job.JobID)
}

// Await returns what became of a queued job: at once if it has ended, however long ago (as long as results are kept), else when it
// does. It does not matter who queued the job, or whether this client's connection or the server was away meanwhile. Queue the job
// first.
//
// If narrate is not nil, Await calls it with each event of the job from its first on, also those of long ago, from the calling
// goroutine, and never after it returned. Narration is a courtesy: where it is not kept or may not be read, the result still comes.
//
// The error is a [*messages.Error], with the result holding no more than the ids of job and hive, if the hive refused or failed the
// job; an [*EndedError] if the job ended without a result; a [*PendingError] if ctx ended first; and that of [Client.Job] otherwise.
func (c *Client) Await(ctx context.Context, hive, id string, narrate func(messages.Event)) (messages.Result, error) {
	answer, err := c.await(ctx, hive, id, narrate)
	if err != nil {
		return messages.Result{}, err
	}
	result, err := messages.DecodeResult(answer)
	return accept(errand{hive: hive, op: messages.WorkerSpawn, job: id}, result, result.JobID, result.HiveID, err)
}

// AwaitDelete is [Client.Await] for a job of [Client.EnqueueDelete].
func (c *Client) AwaitDelete(ctx context.Context, hive, id string, narrate func(messages.Event)) (messages.Deleted, error) {
	answer, err := c.await(ctx, hive, id, narrate)
	if err != nil {
		return messages.Deleted{}, err
	}
	deleted, err := messages.DecodeDeleted(answer)
	return accept(errand{hive: hive, op: messages.WorkerDelete, job: id}, deleted, deleted.JobID, deleted.HiveID, err)
}

// await returns the answer to a queued job.
func (c *Client) await(ctx context.Context, hive, id string, narrate func(messages.Event)) ([]byte, error) {
	if err := checkHive(hive, ""); err != nil {
		return nil, err
	}
	if err := messages.CheckID(id); err != nil {
		return nil, messages.Errorf(messages.InvalidJob, "job_id: %w", err)
	}
	// Who listens first and looks then misses nothing.
	news := make(chan *nats.Msg, 16)
	for _, subject := range []string{c.subjects.Result(hive, id), c.subjects.Trace(hive, id, messages.TraceCancelled)} {
		sub, err := c.nc.ChanSubscribe(subject, news)
		if err != nil {
			return nil, fmt.Errorf("await job %s: %w", id, err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	story := c.retell(ctx, hive, id, narrate)
	defer story.stop()
	w := &outcome{client: c, hive: hive, id: id, news: news, story: story}
	answer, err := w.wait(ctx)
	if err != nil {
		return nil, err
	}
	w.finish(ctx)
	return answer, nil
}

// outcome waits for the end of one job.
type outcome struct {
	client   *Client
	hive, id string
	news     <-chan *nats.Msg // a result, or that the job was cancelled
	story    *retelling
	lost     JobState // what the last look said of a job that is nowhere
}

// wait returns the answer to the job.
func (w *outcome) wait(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	looked := make(chan finding, 1)
	look := time.NewTimer(0)
	defer look.Stop()
	back := w.client.nc.StatusChanged(nats.CONNECTED)
	defer w.client.nc.RemoveStatusListener(back)
	busy, again := false, false // one look at a time, and another if something happened meanwhile
	giveUp := func() {}         // ends the look that is under way
	for pause := lookSoon; ; {
		select {
		case event := <-w.story.events:
			w.story.tell(event)
		case msg := <-w.news:
			if msg.Subject == w.client.subjects.Result(w.hive, w.id) && final(msg) {
				return msg.Data, nil
			}
			look.Reset(0) // it was cancelled, or failed in a way that may pass: the streams know whether it is tried again
			pause = pollSoon
		case _, open := <-back:
			giveUp() // what was asked on the connection that broke is not answered
			if look.Reset(0); !open {
				back = nil
			}
		case <-look.C:
			if again = busy; busy {
				continue
			}
			busy = true
			limited, end := context.WithTimeout(ctx, lookTime)
			giveUp = end
			looking.Go(func() {
				defer end()
				looked <- w.look(limited)
			})
		case found := <-looked:
			if found.answer != nil || found.err != nil {
				return found.answer, found.err
			}
			if busy = false; again {
				look.Reset(0)
				continue
			}
			look.Reset(pause)
			pause = min(2*pause, lookLate)
		case <-ctx.Done():
			return nil, &PendingError{HiveID: w.hive, JobID: w.id, Err: ctx.Err()}
		}
	}
}

// final reports whether a result is the last word whatever the queue says.
func final(msg *nats.Msg) bool {
	_, err := messages.DecodeResult(msg.Data)
	failure, failed := errors.AsType[*messages.Error](err)
	return !repeated(msg.Header) && (err == nil || failed && !failure.Retryable)
}

// finding is what a look into the streams found; nothing if the job has no outcome yet.
type finding struct {
	answer []byte
	err    error
}

// look asks the streams for the answer, or why there will be none. A server that is away is looked at again.
func (w *outcome) look(ctx context.Context) finding {
	job, err := w.client.Job(ctx, w.hive, w.id)
	_, unknown := errors.AsType[*JobNotFoundError](err)
	switch {
	case unknown:
		job.State = JobGone
	case err != nil && (ctx.Err() != nil || passing(err)):
		return finding{}
	case err != nil:
		return finding{err: err}
	case job.Answer != nil:
		return finding{answer: job.Answer}
	}
	// A copy of the results may lag behind the queue, so what seems lost is looked for twice.
	sure := w.lost == job.State || job.State == JobDead || job.State == JobCancelled
	w.lost = job.State
	switch {
	case !job.State.Ended() || !sure:
		return finding{}
	case unknown:
		return finding{err: err}
	}
	return finding{err: &EndedError{Job: job}}
}

// Codes of a cluster that has lost a server and chooses who leads it, or one of its streams and consumers.
const (
	clusterUnavailable jetstream.ErrorCode = 10008
	streamOffline      jetstream.ErrorCode = 10118
	consumerOffline    jetstream.ErrorCode = 10119
)

// passing reports whether an error may be over soon: the server or a part of it is away.
func passing(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.ErrorCode == clusterUnavailable || api.ErrorCode == streamOffline || api.ErrorCode == consumerOffline
	}
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrDisconnected) ||
		errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// finish tells the rest of the story: what its reader still has, and if that does not come to the end, because it was cut off from
// the server, what the stream has.
func (w *outcome) finish(ctx context.Context) {
	late := time.NewTimer(lateEnd)
	defer late.Stop()
	for !w.story.ended {
		select {
		case event := <-w.story.events:
			w.story.tell(event)
			continue
		case <-w.story.over:
		case <-late.C:
		case <-ctx.Done():
		}
		break
	}
	w.story.stop()
	if w.story.ended {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	w.story.what.follow = false
	_ = w.client.read(ctx, w.story.what, func(msg *jetstream.RawStreamMsg) error { // narration is a courtesy
		if event, err := w.client.event(msg.Subject, msg.Header, msg.Data); err == nil {
			w.story.tell(event)
		}
		return nil
	})
}
