package doctor

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Queue says what the hive does about queued jobs.
type Queue int

// What a hive does: it takes them where there is a queue, never, or does not start without.
const (
	QueueAuto Queue = iota
	QueueOff
	QueueRequired
)

// lacks is what it means that something of the queue is missing.
func (q Queue) lacks(advice, format string, args ...any) []Check {
	if q == QueueRequired {
		return fail(advice, format, args...)
	}
	return warn(advice+", or set --queue off (RBEE_QUEUE)", format, args...)
}

// queueInfo is where a hive asks about its place in the queue, which is the first thing that it does there.
func (e examiner) queueInfo() string {
	streams := e.Subjects.Streams()
	return "$JS.API.CONSUMER.INFO." + streams.Jobs + "." + streams.Consumer(e.HiveID)
}

// queueCreate is where it makes that place, unless an administrator has.
func (e examiner) queueCreate() string {
	streams := e.Subjects.Streams()
	return "$JS.API.CONSUMER.CREATE." + streams.Jobs + "." + streams.Consumer(e.HiveID) + "." + streams.HiveJobs(e.HiveID)
}

// queue says whether there is a queue. A fleet without one is none in trouble, unless the hive does not start without it.
func (e examiner) queue(ctx context.Context, nc *nats.Conn) []Check {
	streams := e.Subjects.Streams()
	missing := func(advice, what string) []Check {
		if e.Queue == QueueRequired {
			return fail(advice, "%s: the hive does not start without its queue", what)
		}
		return ok("%s: the hive takes requests only", what)
	}
	if e.Queue == QueueOff {
		return ok("not asked: --queue is off")
	}
	if denied, err := publish(ctx, nc, e.queueInfo(), ""); denied && err == nil {
		return ok("not known: this user may not ask, see permissions")
	}
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.Consumer(ctx, streams.Jobs, streams.Consumer(e.HiveID))
	}
	switch {
	case err == nil:
		return ok("stream %s has a consumer for this hive", streams.Jobs)
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		if denied, err := publish(ctx, nc, e.queueCreate(), ""); denied && err == nil {
			return e.Queue.lacks("grant it (permissions), or have an administrator make it", "stream %s has no consumer for this hive, which may make none", streams.Jobs)
		}
		return ok("stream %s is there; the hive makes its consumer when it starts", streams.Jobs)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return missing("make it with rbee streams apply", "stream "+streams.Jobs+" is missing")
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return missing("turn on JetStream in the server's configuration and run rbee streams apply", "the server has no JetStream for this account")
	}
	return e.Queue.lacks("find out why JetStream does not answer", "stream %s: %v", streams.Jobs, err)
}

// queueGrants returns what a hive needs for its queued jobs.
func (e examiner) queueGrants(nobody string) []grant {
	streams := e.Subjects.Streams()
	consumer := streams.Jobs + "." + streams.Consumer(e.HiveID)
	next := "$JS.API.CONSUMER.MSG.NEXT." + consumer
	results, about := "$JS.API.DIRECT.GET."+streams.Results+".", "$JS.API.STREAM.INFO."+streams.Results
	return []grant{{
		name: "queue", publish: true, need: "takes no queued jobs", lacks: e.Queue.lacks,
		tries: []try{
			{e.queueInfo(), e.queueInfo()},
			{next, next},
			// Servers before and since 2.14 write it in two ways, and one of a cluster may be either.
			{"$JS.ACK." + consumer + ".>", "$JS.ACK." + consumer + "." + nobody},
			{"$JS.ACK.*.*." + consumer + ".>", "$JS.ACK._." + nobody + "." + consumer + "." + nobody},
		},
	}, {
		name: "queue_consumer", publish: true, need: "takes no queued jobs unless an administrator has made its consumer", lacks: warn,
		tries: []try{{e.queueCreate(), e.queueCreate()}},
	}, {
		name: "known_results", publish: true, need: "remembers the outcomes of jobs by this machine alone", lacks: warn,
		tries: []try{{results + e.Subjects.Result(e.HiveID, ""), results + e.Subjects.Result(e.HiveID, nobody)}, {about, about}},
	}}
}
