package consumer

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// keepTimeout bounds what is done for the result of a request once its caller has the answer. A drain waits as long for it.
const keepTimeout = questionGrace

// offer publishes the result of a request whose worker was started, as publish does, and returns where the stream of results says
// whether it has taken it; nil if nobody waits for that.
func (h *hive) offer(t *task, result *nats.Msg) jetstream.PubAckFuture {
	offered, err := h.js.PublishMsgAsync(result, jetstream.WithRetryAttempts(0), jetstream.WithStallWait(time.Millisecond))
	if err != nil { // also where thousands wait for a stream that says nothing
		h.publish(t, result)
		return nil
	}
	return offered
}

// keep sees to it that what came into the stream while t was at work, and has no right to stay, gives way to the result of t: a refusal,
// most of all. The caller has its answer already, so that t is at work no more; only the end of the hive waits. A stream that does not answer
// is left alone: nobody knows then what it has.
func (h *hive) keep(ctx context.Context, t *task, result *nats.Msg, offered jetstream.PubAckFuture) {
	t.place.end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	var err error
	select {
	case <-offered.Ok():
		return
	case err = <-offered.Err():
	case <-ctx.Done():
		err = ctx.Err()
	}
	done := false
	if first(err) {
		done, err = h.overtaken(ctx, t, result)
		for err == nil && !done {
			if done, err = h.storeOnce(ctx, t, result); first(err) {
				wait(ctx, afterTrouble/4, nil)
				err = ctx.Err()
			}
		}
	}
	if err != nil && !done {
		h.Logger.Debug("whether the stream of results has the result of a request is not known", "job", t.job.JobID, "worker", t.job.WorkerID, "err", err)
	}
}
