package queen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/messages"
)

// How often is looked whether the server refused a request: it says so at once, and to nobody but the connection.
const (
	refusedSoon = 5 * time.Millisecond
	refusedLate = time.Second
)

// errand is one request to one hive: a job, or a question.
type errand struct {
	hive string
	op   messages.Operation
	job  string // empty for a question
}

// String names what is asked.
func (e errand) String() string {
	if e.job == "" {
		return "question " + string(e.op)
	}
	return "job " + e.job
}

// address fills in what the caller of a job may leave out and checks what only the caller's side can.
func address(ctx context.Context, hive string, hiveID, jobID *string, deadline *time.Time) error {
	if err := checkHive(hive, *hiveID); err != nil {
		return err
	}
	*hiveID = hive
	if *jobID == "" {
		*jobID = messages.NewJobID()
	}
	if limit, ok := ctx.Deadline(); ok && deadline.IsZero() {
		*deadline = limit.UTC()
	}
	return nil
}

// checkHive refuses what is no hive, and a request that means another hive than it is sent to.
func checkHive(hive, meant string) error {
	if err := messages.CheckID(hive); err != nil {
		return messages.Errorf(messages.InvalidJob, "hive: %w", err)
	}
	if meant != "" && meant != hive {
		return messages.Errorf(messages.WrongHive, "hive_id: is %q in a request for hive %s", meant, hive)
	}
	return nil
}

// run sends a request, tells its story meanwhile if there is one to tell, and returns the answer.
func (c *Client) run(ctx context.Context, e errand, payload []byte, narrate func(messages.Event)) (*nats.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("send %s to hive %s: %w", e, e.hive, err)
	}
	story, err := c.follow(e, narrate)
	if err != nil {
		return nil, err
	}
	defer story.close()

	before := c.nc.LastError()
	answer, err := c.request(ctx, e, payload, story, before)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, c.noHive(ctx, e.hive)
	case err != nil:
		return nil, c.noAnswer(e, before, err)
	}
	return answer, nil
}

// request publishes the request and waits for its answer, and tells its story meanwhile. If the hive starts while it waits, and there is
// but one with that id, it publishes the request again. If the server did not let it pass, the error is the server's, which came behind before.
func (c *Client) request(ctx context.Context, e errand, payload []byte, story *story, before error) (*nats.Msg, error) {
	subject := c.subjects.Request(e.hive, e.op)
	revival, err := c.hearStarts(e)
	if err != nil {
		return nil, err
	}
	defer revival.close()
	sender := newSender(ctx, func(ctx context.Context) (*nats.Msg, error) { return c.nc.RequestWithContext(ctx, subject, payload) })
	defer sender.close() // also if narrate panics
	sender.again()
	look := time.NewTimer(refusedSoon)
	defer look.Stop()
	for pause := refusedSoon; ; {
		select {
		case msg := <-story.events():
			story.tell(msg)
		case msg := <-revival.heard:
			revival.started(msg)
		case <-revival.due.C:
			revival.look(ctx)
		case alone := <-revival.alone:
			if alone {
				sender.again()
			}
		case r := <-sender.replies:
			switch {
			case sender.turnedAway(r):
				revival.soon()
			case sender.final(r):
				story.finish(r.err == nil)
				return r.msg, r.err
			}
		case <-look.C:
			if refusal := c.refused(subject, before); refusal != nil {
				return nil, refusal
			}
			pause = min(2*pause, refusedLate)
			look.Reset(pause)
		}
	}
}

// accept returns what was read from an answer, once it is known to be the answer to e: job and hive are the ids that stand
// in it, and err is what its decoder said.
func accept[A any](e errand, answer A, job, hive string, err error) (A, error) {
	var none A
	failure, failed := errors.AsType[*messages.Error](err)
	switch {
	case err != nil && !failed:
		return none, e.unanswered(err)
	case e.job != "" && job != e.job, hive != e.hive:
		return none, e.unanswered(fmt.Errorf("an answer came for job %q of hive %q", job, hive))
	case failed:
		return answer, failure
	}
	return answer, nil
}

// unanswered says that e has no answer, because of err.
func (e errand) unanswered(err error) error {
	return &NoAnswerError{Hive: e.hive, Operation: e.op, JobID: e.job, Err: err}
}

// noAnswer says why a request has no answer: for one that the server never let pass, that.
func (c *Client) noAnswer(e errand, before, err error) error {
	subject, refusal := c.subjects.Request(e.hive, e.op), err
	if !errors.Is(err, nats.ErrPermissionViolation) {
		refusal = c.refused(subject, before)
	}
	if refusal != nil {
		return fmt.Errorf("send %s to hive %s: %w", e, e.hive, c.forbidden(subject, refusal))
	}
	return e.unanswered(err)
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
