package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/rbee-keeper/hive/messages"
)

// grant is what a hive may do on the server, or must not do without.
type grant struct {
	name    string
	publish bool // else subscribe
	queue   string
	need    string // what the hive cannot do without it
	tries   []try

	// lacks is what it means that it is missing; nil means a failure.
	lacks func(advice, format string, args ...any) []Check
}

// try is one permission of a grant and the subject by which it is tried: nobody uses it, because a random word stands for the
// wildcard of the permission.
type try struct{ allow, subject string }

// permissions returns a probe for each permission that a hive needs on the server.
func (e examiner) permissions(nc *nats.Conn) []probe {
	probes := make([]probe, 0, 10)
	for _, g := range e.grants(nc) {
		probes = append(probes, probe{name: g.name, run: func(ctx context.Context) []Check { return g.check(ctx, nc) }})
	}
	return append(probes, probe{name: "answers", run: func(context.Context) []Check {
		return ok("not tried: only a queen can send the request that a hive answers; this user needs allow_responses")
	}})
}

// grants returns what a hive needs. Its jobs are tried on an operation that there is not: a subscription to all of them, in
// the queue group of the hive, would take them away from it.
func (e examiner) grants(nc *nats.Conn) []grant {
	nobody := "doctor-" + rand.Text()
	all := []grant{{
		name: "jobs", queue: e.HiveID, need: "takes no jobs",
		tries: []try{{e.Subjects.Request(e.HiveID, ""), e.Subjects.Request(e.HiveID, messages.Operation(nobody))}},
	}}
	for _, verb := range []micro.Verb{micro.PingVerb, micro.InfoVerb, micro.StatsVerb} {
		every := "$SRV." + verb.String()
		ours := every + "." + messages.ServiceName
		all = append(all, grant{
			name: strings.ToLower(verb.String()), need: "is not found",
			tries: []try{{every, every}, {ours, ours}, {ours + ".*", ours + "." + nobody}},
		})
	}
	narration := strings.TrimSuffix(e.Subjects.Narration(e.HiveID, "", ""), "*.*") + ">"
	story := func(about string) try {
		return try{narration, e.Subjects.Narration(e.HiveID, about, messages.Action(nobody))}
	}
	all = append(all, grant{
		name: "results", publish: true, need: "tells nobody how its jobs end",
		tries: []try{{e.Subjects.Result(e.HiveID, ""), e.Subjects.Result(e.HiveID, nobody)}},
	}, grant{
		name: "narration", publish: true, need: "does not tell what it does",
		tries: []try{story(nobody), story(messages.AboutHive), story(messages.AboutWorker)},
	}, grant{
		name: "inbox", need: "hears no answer to what it asks", lacks: warn, tries: []try{{inboxes(nc), nc.NewInbox()}},
	})
	if e.Queue == QueueOff {
		return all
	}
	return append(all, e.queueGrants(nobody)...)
}

// inboxes returns the subjects below which this connection gets its answers.
func inboxes(nc *nats.Conn) string {
	inbox := nc.NewInbox()
	return inbox[:strings.LastIndexByte(inbox, '.')+1] + ">"
}

// check tries every permission of the grant and names those that are missing.
func (g grant) check(ctx context.Context, nc *nats.Conn) []Check {
	act, ask := "subscribe to ", subscribe
	if g.publish {
		act, ask = "publish on ", publish
	}
	var allowed, missing []string
	for _, try := range g.tries {
		denied, err := ask(ctx, nc, try.subject, g.queue)
		if err != nil {
			return fail("mend the connection, then run doctor again", "%s could not be tried: %v", g.entry(try), err)
		}
		if denied {
			missing = append(missing, g.entry(try))
		} else {
			allowed = append(allowed, g.entry(try))
		}
	}
	const advice = "grant it in the server's configuration (deploy/nats-server.conf has all that a hive needs)"
	if missing != nil {
		lacks := g.lacks
		if lacks == nil {
			lacks = fail
		}
		return lacks(advice, "this user may not %s%s: the hive %s", act, list(missing), g.need)
	}
	return ok("may %s%s", act, list(allowed))
}

// entry returns a permission as nats-server.conf writes it.
func (g grant) entry(t try) string {
	if g.queue != "" {
		return strconv.Quote(t.allow + " " + g.queue)
	}
	return strconv.Quote(t.allow)
}

// list returns the entries without repetitions.
func list(entries []string) string {
	return strings.Join(slices.Compact(entries), ", ")
}

// subscribe reports whether the server denies a subscription. It lasts a round trip.
func subscribe(ctx context.Context, nc *nats.Conn, subject, queue string) (denied bool, err error) {
	return denial(ctx, nc, subject, func() error {
		sub, err := nc.QueueSubscribe(subject, queue, func(*nats.Msg) {})
		if err == nil {
			err = errors.Join(nc.FlushWithContext(ctx), sub.Unsubscribe())
		}
		return err
	})
}

// reserved begins the replies that only the server itself may ask for.
const reserved = "_R_."

// publish reports whether the server denies a publication, and nobody hears it if not: a server looks at the subject first
// and then refuses the message for its reply, which is one of the server's own.
func publish(ctx context.Context, nc *nats.Conn, subject, _ string) (denied bool, err error) {
	return denial(ctx, nc, subject, func() error { return nc.PublishRequest(subject, reserved+rand.Text(), nil) })
}

// denial does something and reports whether the server denies it for the subject. The server says so before it answers the
// flush behind it, and the connection keeps its last word.
func denial(ctx context.Context, nc *nats.Conn, subject string, act func() error) (bool, error) {
	before := nc.LastError()
	if err := act(); err != nil {
		return false, err
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return false, err
	}
	after := nc.LastError()
	if after == nil || errors.Is(after, before) {
		return false, nil
	}
	if !errors.Is(after, nats.ErrPermissionViolation) {
		return false, after
	}
	return strings.Contains(after.Error(), strconv.Quote(subject)), nil
}
