package queen

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// archive is the streams of the fleet, open to be read.
type archive struct {
	*Client
	jobs, results, dead jetstream.Stream
	names               messages.Streams
	consumers           map[string]*jetstream.ConsumerInfo // of hives that were looked at; nil: it has none
	given               map[string]map[uint64]verdict      // by subject
}

// open looks up the streams.
func (c *Client) open(ctx context.Context) (*archive, error) {
	a := &archive{Client: c, names: c.subjects.Streams(), consumers: map[string]*jetstream.ConsumerInfo{}, given: map[string]map[uint64]verdict{}}
	for _, s := range []struct {
		stream *jetstream.Stream
		name   string
	}{{&a.jobs, a.names.Jobs}, {&a.results, a.names.Results}, {&a.dead, a.names.Dead}} {
		var err error
		if *s.stream, err = c.stream(ctx, s.name); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// job finds one job. A hive publishes the result before it says that it is done with the job, so whoever looks into the queue
// first and then at the results finds the job in one of them.
func (a *archive) job(ctx context.Context, hive, id string) (QueuedJob, error) {
	waits, err := a.last(ctx, a.jobs, a.subjects.Queued(hive, "", id))
	if err != nil {
		return QueuedJob{}, fmt.Errorf("look for job %s: %w", id, err)
	}
	answer, err := a.last(ctx, a.results, a.subjects.Result(hive, id))
	if err != nil {
		return QueuedJob{}, fmt.Errorf("look for job %s: %w", id, err)
	}
	trace, err := a.last(ctx, a.dead, a.subjects.Trace(hive, id, ""))
	if err != nil {
		return QueuedJob{}, fmt.Errorf("look for job %s: %w", id, err)
	}
	var job QueuedJob
	if trace != nil {
		job = a.traced(trace)
	}
	var answered QueuedJob
	if answer != nil {
		answered = a.answered(answer)
	}
	// A failure that may pass is no outcome of a job that is still to be tried.
	switch {
	case answer != nil && !(waits != nil && answered.passing):
		found := []QueuedJob{answered.since(job)}
		a.inform(ctx, found)
		return found[0], nil
	case waits != nil:
		job, err = a.queued(ctx, waits)
		job.Job = waits.Data
		return job, err
	case trace != nil:
		return a.lost(ctx, job, trace)
	}
	return QueuedJob{}, &JobNotFoundError{HiveID: hive, JobID: id}
}

// since adds to what an answer says what was known before it.
func (j QueuedJob) since(before QueuedJob) QueuedJob {
	if before.HiveID != j.HiveID {
		return j
	}
	j.Job, j.QueuedAt, j.Operation = before.Job, before.QueuedAt, cmp.Or(before.Operation, j.Operation)
	j.about(subject{WorkerID: before.WorkerID, Model: before.Model, Device: before.Device})
	return j
}

// words returns the words of a subject behind the prefix and the first word.
func (a *archive) words(subject string) []string {
	return strings.Split(strings.TrimPrefix(subject, a.subjects.Prefix()+"."), ".")[1:]
}

// consumer returns how far a hive is with its queue; nil if it never had one.
func (a *archive) consumer(ctx context.Context, hive string) (*jetstream.ConsumerInfo, error) {
	if info, known := a.consumers[hive]; known {
		return info, nil
	}
	var info *jetstream.ConsumerInfo
	consumer, err := a.jobs.Consumer(ctx, a.names.Consumer(hive))
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrConsumerDoesNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at the queue of hive %s: %w", hive, err)
	default:
		info = consumer.CachedInfo()
	}
	a.consumers[hive] = info
	return info, nil
}

// verdicts returns what the server said on a subject of jobs that it gave up, by their place in the queue.
func (a *archive) verdicts(ctx context.Context, subject string) (map[uint64]verdict, error) {
	if verdicts, known := a.given[subject]; known {
		return verdicts, nil
	}
	verdicts := map[uint64]verdict{}
	for seq := uint64(1); ; {
		msg, err := next(ctx, a.dead, seq, subject)
		if err != nil {
			return nil, fmt.Errorf("look for dead jobs: %w", err)
		}
		if msg == nil {
			break
		}
		v := verdict{at: msg.Time}
		if json.Unmarshal(msg.Data, &v) == nil {
			verdicts[v.Sequence] = v
		}
		seq = msg.Sequence + 1
	}
	a.given[subject] = verdicts
	return verdicts, nil
}

// headerStream is what the server adds to a message that it repeats: the stream that it is from.
const headerStream = "Nats-Stream"

// repeated reports whether a message was not published by whoever speaks on its subject but came out of a stream: whoever may read a
// stream may have the server repeat a message of it on any subject. A stream that holds it says so once more.
func repeated(header nats.Header) bool { return len(header[headerStream]) > 0 }

// last returns the last message on a subject, as it was published; nil if there is none.
func (a *archive) last(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	if info := stream.CachedInfo(); info.Config.AllowDirect {
		msgs, _, err := a.getDirect(ctx, info.Config.Name, directGet{Last: subject})
		if err != nil || len(msgs) == 0 {
			return nil, err
		}
		return msgs[0], nil
	}
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return msg, err
}

// next returns the first message on a subject from a place on; nil if there is none.
func next(ctx context.Context, stream jetstream.Stream, seq uint64, subject string) (*jetstream.RawStreamMsg, error) {
	msg, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return msg, err
}
