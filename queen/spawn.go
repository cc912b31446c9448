package queen

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/messages"
)

// Spawn asks hive to start the worker that job describes, and waits for the answer. Give ctx a deadline: a hive that dies
// in the middle of a job never answers.
//
// Job needs only a model and a device. A job without an id gets a fresh one. A job without a deadline gets that of ctx, so
// that a hive starts no worker nobody waits for. The hive compares the deadline with its own clock: one that runs ahead
// refuses early, one that runs behind may start a worker late.
//
// If narrate is not nil, Spawn calls it with each event of the job, in order, from the calling goroutine, and never after
// it returned. Every event that the hive published before its answer is told before Spawn returns, the terminal one
// last, provided that narrate keeps up. Narration is a courtesy: a user who may not read it still gets the answer.
//
// The error is a [*messages.Error], with the result holding no more than the ids of job and hive, if the hive refused or
// failed the job or the job is not valid; [*NoHiveError] if there is no such hive; and [*NoAnswerError] if the outcome is not
// known. Any other error means that nothing was sent.
func (c *Client) Spawn(ctx context.Context, hive string, job messages.Job, narrate func(messages.Event)) (messages.Result, error) {
	job, err := complete(ctx, hive, job)
	if err != nil {
		return messages.Result{}, err
	}
	payload, err := job.Encode()
	if err != nil {
		return messages.Result{}, err
	}

	story, err := c.follow(job, narrate)
	if err != nil {
		return messages.Result{}, err
	}
	defer story.close()

	before := c.nc.LastError()
	answer, err := c.request(ctx, job, payload, story)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return messages.Result{}, c.noHive(ctx, hive)
	case err != nil:
		return messages.Result{}, c.noAnswer(job, before, err)
	}
	return read(answer, job)
}

// complete fills in what a caller may leave out and checks what only the caller's side can.
func complete(ctx context.Context, hive string, job messages.Job) (messages.Job, error) {
	if err := messages.CheckID(hive); err != nil {
		return job, messages.Errorf(messages.InvalidJob, "hive: %w", err)
	}
	if job.HiveID != "" && job.HiveID != hive {
		return job, messages.Errorf(messages.WrongHive, "hive_id: is %q in a job for hive %s", job.HiveID, hive)
	}
	job.HiveID = hive
	job.Operation = cmp.Or(job.Operation, messages.WorkerSpawn)
	if job.JobID == "" {
		job.JobID = messages.NewJobID()
	}
	if deadline, ok := ctx.Deadline(); ok && job.Deadline.IsZero() {
		job.Deadline = deadline.UTC()
	}
	if err := ctx.Err(); err != nil {
		return job, fmt.Errorf("send job %s to hive %s: %w", job.JobID, hive, err)
	}
	return job, nil
}

// request publishes the job and waits for its answer, and tells the job's story meanwhile.
func (c *Client) request(ctx context.Context, job messages.Job, payload []byte, story *story) (*nats.Msg, error) {
	subject := c.subjects.Request(job.HiveID, job.Operation)
	if story == nil {
		return c.nc.RequestWithContext(ctx, subject, payload)
	}
	ctx, cancel := context.WithCancel(ctx) // ends the request if narrate panics
	defer cancel()
	type outcome struct {
		msg *nats.Msg
		err error
	}
	answered := make(chan outcome, 1)
	go func() {
		msg, err := c.nc.RequestWithContext(ctx, subject, payload)
		answered <- outcome{msg, err}
	}()
	for {
		select {
		case msg := <-story.arrived:
			story.tell(msg)
		case o := <-answered:
			story.finish(o.err == nil)
			return o.msg, o.err
		}
	}
}

// read returns what the answer says, once it is known to be this job's.
func read(answer *nats.Msg, job messages.Job) (messages.Result, error) {
	result, err := messages.DecodeResult(answer.Data)
	failure, failed := errors.AsType[*messages.Error](err)
	if err == nil || failed {
		if result.JobID != job.JobID || result.HiveID != job.HiveID {
			err = fmt.Errorf("an answer came for job %q of hive %q", result.JobID, result.HiveID)
			return messages.Result{}, &NoAnswerError{Hive: job.HiveID, JobID: job.JobID, Err: err}
		}
	}
	switch {
	case failed:
		return result, failure
	case err != nil:
		return messages.Result{}, &NoAnswerError{Hive: job.HiveID, JobID: job.JobID, Err: err}
	}
	return result, nil
}

// noAnswer says why a job has no answer: for a request that the server never let pass, that.
func (c *Client) noAnswer(job messages.Job, before, err error) error {
	if refusal := c.refused(c.subjects.Request(job.HiveID, job.Operation), before); refusal != nil {
		return fmt.Errorf("send job %s to hive %s: %w", job.JobID, job.HiveID, refusal)
	}
	return &NoAnswerError{Hive: job.HiveID, JobID: job.JobID, Err: err}
}

// noHive finds out which hives there are instead.
func (c *Client) noHive(ctx context.Context, hive string) error {
	failure := &NoHiveError{Hive: hive, Prefix: c.subjects.Prefix()}
	ctx, cancel := context.WithTimeout(ctx, knownWait)
	defer cancel()
	hives, _ := c.discover(ctx) // the list is help, not the answer
	for _, h := range hives {
		if n := len(failure.Known); n == 0 || failure.Known[n-1] != h.ID {
			failure.Known = append(failure.Known, h.ID)
		}
	}
	return failure
}
