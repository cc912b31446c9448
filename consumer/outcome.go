package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// jsAPI is what the subjects of the server's API begin with.
const jsAPI = "$JS.API."

// outcome is what the stream of results holds of a job; the zero value is nothing.
type outcome struct {
	seq  uint64 // its place in the stream; 0 if there is none
	data []byte
	at   time.Time

	result  messages.Result
	failure *messages.Error // nil if the job succeeded
	yields  bool            // what became of the job takes its place
}

// final reports whether the job is done: it succeeded, or it failed for good. A failure that may pass is no outcome.
func (o outcome) final() bool {
	return o.seq != 0 && (o.failure == nil || !o.failure.Retryable)
}

// started reports whether a worker was started for the job.
func (o outcome) started() bool {
	if o.seq == 0 {
		return false
	}
	return o.failure == nil || tellsOfStart(o.failure)
}

// tellsOfStart reports whether a job that failed so had a worker started.
func tellsOfStart(e *messages.Error) bool {
	return e.Code == messages.WorkerExited || e.Code == messages.NotReady
}

// expect is what the last message on the job's result subject must be for another result to be taken: the first one that is final
// stays.
func (o outcome) expect() uint64 {
	if o.final() && !o.yields {
		return 0
	}
	return o.seq
}

// yieldsTo reports whether o gives way to another outcome of the same job, as it is published: o says that nothing was started, and the
// other that something was. So is a request that came late, or to a busy hive, no end of the job that was at work meanwhile.
func (o outcome) yieldsTo(data []byte) bool {
	other := outcome{seq: o.seq}
	_, err := messages.DecodeResult(data)
	other.failure, _ = errors.AsType[*messages.Error](err)
	return !o.started() && other.started()
}

// expectAsked is expect for the result of a request. A failure before any worker was started is no end of a job that is asked for: it is
// tried again, and what comes of it then is its outcome.
func (o outcome) expectAsked() uint64 {
	if !o.started() {
		return o.seq
	}
	return o.expect()
}

// findResults looks whether there is a stream of results, by asking it for the result of no job. One that was there and does not
// answer is in trouble and not gone, unless the server says so: a result that it would have taken must not be lost.
func (h *hive) findResults(ctx context.Context) {
	_, err := h.lookUp(ctx, messages.AboutHive)
	if err == nil {
		if !h.queue.results.Swap(true) {
			h.Logger.Info("hive remembers its jobs in the stream of results", "stream", h.Subjects.Streams().Results)
		}
		return
	}
	if errors.Is(err, nats.ErrNoResponders) {
		err = h.whyNoResults(ctx)
	}
	if ctx.Err() != nil || h.queue.results.Load() && !errors.Is(err, errNoResults) {
		return
	}
	if h.queue.results.Swap(false) || !h.queue.saidAlone.Swap(true) {
		h.Logger.Warn("without the stream of results a job is remembered by this machine alone", "stream", h.Subjects.Streams().Results, "err", err)
	}
}

// errNoResults is why there is no stream of results for sure.
var errNoResults = errors.New("there is no such stream that can be asked")

// whyNoResults says why nobody answers for the stream of results.
func (h *hive) whyNoResults(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := h.js.Stream(ctx, h.Subjects.Streams().Results)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: make it with rbee streams apply", errNoResults)
	case err == nil && !found.CachedInfo().Config.AllowDirect:
		return fmt.Errorf("%w: it does not allow direct get", errNoResults)
	case err == nil:
		return nats.ErrNoResponders
	}
	return err
}

// lookUp asks the stream of results for the outcome of a job of this hive.
func (h *hive) lookUp(ctx context.Context, job string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	stream := h.Subjects.Streams().Results
	msg, err := h.nc.RequestWithContext(ctx, jsAPI+"DIRECT.GET."+stream+"."+h.Subjects.Result(h.HiveID, job), nil)
	if err != nil {
		return outcome{}, fmt.Errorf("ask stream %s for the result of a job: %w", stream, err)
	}
	switch status := msg.Header.Get("Status"); {
	case said(msg.Header, jetstream.SequenceHeader) != "":
		return h.readOutcome(msg, job)
	case status == "404":
		return outcome{}, nil
	default:
		return outcome{}, fmt.Errorf("ask stream %s for the result of a job: %s (%s)", stream, msg.Header.Get("Description"), status)
	}
}

// readOutcome reads what the stream holds of a job. What is no answer of this hive to this job is none, and the next one replaces it.
func (h *hive) readOutcome(msg *nats.Msg, job string) (outcome, error) {
	seq, err := strconv.ParseUint(said(msg.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return outcome{}, fmt.Errorf("read the place of a result: %w", err)
	}
	o := outcome{seq: seq, data: msg.Data}
	o.at, _ = time.Parse(time.RFC3339Nano, said(msg.Header, jetstream.TimeStampHeaer))
	result, err := messages.DecodeResult(msg.Data)
	failure, failed := errors.AsType[*messages.Error](err)
	switch {
	case repeatedBefore(msg.Header):
		err = errors.New("it came there out of another stream")
	case err != nil && !failed:
	case result.JobID != job || result.HiveID != h.HiveID:
		err = fmt.Errorf("it is of job %q of hive %q", result.JobID, result.HiveID)
	default:
		o.result, o.failure = result, failure
		return o, nil
	}
	h.Logger.Warn("what the stream holds as a result is none", "job", job, "err", err)
	o.failure = &messages.Error{Code: messages.Internal, Message: err.Error(), Retryable: true}
	return o, nil
}

// store publishes the outcome of t where observers and late readers find it, and returns when the stream of results has it, or
// another final one, which came first. It offers it again until ctx ends or storeLimit passed.
func (h *hive) store(ctx context.Context, t *task, msg *nats.Msg) error {
	if !h.queue.results.Load() {
		return h.nc.PublishMsg(msg)
	}
	limit := time.Now().Add(storeLimit)
	for {
		done, err := h.storeOnce(context.WithoutCancel(ctx), t, msg)
		if done {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(limit) {
			return err
		}
		wait(ctx, afterTrouble/4, nil)
	}
}

// storeOnce offers the outcome once, and reports whether there is no need to offer it again.
func (h *hive) storeOnce(ctx context.Context, t *task, msg *nats.Msg) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err = h.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(t.before.expect()), jetstream.WithRetryAttempts(0))
	if err == nil {
		return true, nil
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		h.findResults(ctx)
		return !h.queue.results.Load(), err // if the stream is gone, whoever listened has heard it
	}
	if !first(err) {
		return false, err
	}
	stays, lookErr := h.overtaken(ctx, t, msg)
	if lookErr != nil {
		return false, lookErr
	}
	return stays, err
}

// overtaken looks at what came into the stream before the outcome of t, and reports whether that stays.
func (h *hive) overtaken(ctx context.Context, t *task, msg *nats.Msg) (stays bool, err error) {
	before, err := h.lookUp(ctx, t.job.JobID)
	if err != nil {
		return false, err
	}
	t.before = before
	if t.before.yields = before.yieldsTo(msg.Data); !before.final() || t.before.yields {
		return false, nil
	}
	h.Logger.Info("job has a result already; the first one stays", "job", t.job.JobID, "worker", t.job.WorkerID)
	return true, nil
}

// first reports whether err says that another result came first.
func first(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
