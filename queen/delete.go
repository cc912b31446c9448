package queen

import (
	"context"

	"github.com/rbee-keeper/hive/messages"
)

// Delete asks hive to end the worker that job names, every process of it, and waits until nothing of it is left. Give ctx a
// deadline that is further away than the grace: a hive that dies in the middle of a job never answers.
//
// Job needs only a worker id. What it leaves open, the narration, and the errors are as for [Client.Spawn]. A worker of which
// nothing runs is [messages.WorkerNotFound], also when it was deleted before.
func (c *Client) Delete(ctx context.Context, hive string, job messages.DeleteJob, narrate func(messages.Event)) (messages.Deleted, error) {
	if err := address(ctx, hive, &job.HiveID, &job.JobID, &job.Deadline); err != nil {
		return messages.Deleted{}, err
	}
	job.Operation = messages.WorkerDelete
	payload, err := job.Encode()
	if err != nil {
		return messages.Deleted{}, err
	}
	e := errand{hive: hive, op: messages.WorkerDelete, job: job.JobID}
	answer, err := c.run(ctx, e, payload, narrate)
	if err != nil {
		return messages.Deleted{}, err
	}
	deleted, err := messages.DecodeDeleted(answer.Data)
	return accept(e, deleted, deleted.JobID, deleted.HiveID, err)
}
