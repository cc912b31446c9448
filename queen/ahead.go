package queen

import "context"

// Ahead returns how many jobs of its hive are in the queue before one that was just queued: those that wait, and those that the hive has
// in hand. at is what [Client.HiveQueue] returned since then. It is false where that is not known: the hive has been given the job
// already, other jobs came behind it, or the user may not look at the queue.
func (c *Client) Ahead(ctx context.Context, job Receipt, at HiveQueue) (n int, known bool) {
	if at.Waiting == 0 {
		return 0, false
	}
	stream, err := c.js.Stream(ctx, c.subjects.Streams().Jobs)
	if err != nil || stream.CachedInfo().State.LastSeq != job.Sequence {
		return 0, false
	}
	return int(at.Waiting) - 1 + at.InHand, true //nolint:gosec // a queue holds fewer jobs than an int counts
}
