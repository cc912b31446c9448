package queen

import (
	"cmp"
	"context"

	"github.com/rbee-keeper/hive/messages"
)

// errDryRun refuses to send as a job what is none.
var errDryRun = messages.Errorf(messages.InvalidJob, "dry_run: such a job is a question, which has no result: ask it with Explain")

// Spawn asks hive to start the worker that job describes, and waits for the answer. Give ctx a deadline: a hive that dies
// in the middle of a job and does not come back never answers.
//
// If the hive tells meanwhile that it has started, Spawn sends the job again with the same id, since one that was killed took its answer
// with it: the next one finds the worker, or starts it if there is none. Who may not read narration does not hear that.
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
	if err := address(ctx, hive, &job.HiveID, &job.JobID, &job.Deadline); err != nil {
		return messages.Result{}, err
	}
	if job.DryRun {
		return messages.Result{}, errDryRun
	}
	job.Operation = cmp.Or(job.Operation, messages.WorkerSpawn)
	payload, err := job.Encode()
	if err != nil {
		return messages.Result{}, err
	}
	e := errand{hive: hive, op: job.Operation, job: job.JobID}
	answer, err := c.run(ctx, e, payload, narrate)
	if err != nil {
		return messages.Result{}, err
	}
	result, err := messages.DecodeResult(answer.Data)
	return accept(e, result, result.JobID, result.HiveID, err)
}
