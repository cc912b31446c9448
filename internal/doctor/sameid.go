package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

const (
	// longest is how long the processes of a hive are listened for at most.
	longest = time.Second
	// quiet ends the listening once nobody new was heard for so long.
	quiet = 100 * time.Millisecond
)

// listening is for how long the processes of a hive are listened for at most, and the silence after which nobody else is expected.
type listening struct{ longest, quiet time.Duration }

// sameID finds out who serves the hive's id at this moment. Jobs of one id go to any of its processes: on one machine that
// is meant, on two the model may run on either.
func (e examiner) sameID(ctx context.Context, nc *nats.Conn) []Check {
	heard, denied, err := e.answering(ctx, nc, listening{longest, quiet})
	switch {
	case err != nil:
		return failBy(err, "mend the connection, then run doctor again")
	case denied:
		return ok("not known: this user may not ask, as it should be; `rbee hives` tells the queen")
	}
	return e.judge(heard)
}

// answering returns the metadata of each process that answers for the hive, or that this user may not ask.
func (e examiner) answering(ctx context.Context, nc *nats.Conn, l listening) (heard []map[string]string, denied bool, err error) {
	ask, err := micro.ControlSubject(micro.PingVerb, messages.ServiceName, "")
	if err != nil {
		return nil, false, err
	}
	answers := make(chan *nats.Msg, 1024)
	sub, err := nc.ChanSubscribe(nc.NewInbox(), answers)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	denied, err = denial(ctx, nc, ask, func() error { return nc.PublishRequest(ask, sub.Subject, nil) })
	if err != nil || denied {
		return nil, denied, err
	}
	return e.collect(ctx, answers, l), false, nil
}

// collect gathers the answers for the hive.
func (e examiner) collect(ctx context.Context, answers <-chan *nats.Msg, l listening) (heard []map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, l.longest)
	defer cancel()
	var silent <-chan time.Time
	for {
		select {
		case msg := <-answers:
			var ping micro.Ping
			if len(msg.Data) == 0 { // the server's own answer: no responders
				return heard
			}
			if json.Unmarshal(msg.Data, &ping) == nil && ping.Metadata[messages.MetaHiveID] == e.HiveID &&
				ping.Metadata[messages.MetaPrefix] == e.Subjects.Prefix() {
				heard = append(heard, ping.Metadata)
			}
			silent = time.After(l.quiet)
		case <-silent:
			return heard
		case <-ctx.Done():
			return heard
		}
	}
}

// judge says what it means that these processes serve the hive's id.
func (e examiner) judge(heard []map[string]string) []Check {
	here, _ := os.Hostname()
	others := strangers(heard, process.Mark(e.RunDir))
	switch {
	case len(heard) == 0:
		return ok("no process serves hive %s at this moment", e.HiveID)
	case len(others) == 0:
		return ok("hive %s is served on this host (%s), by %s", e.HiveID, here, processes(len(heard)))
	case others[0] == here && others[len(others)-1] == here:
		return warn("give each hive an id of its own with --hive-id (RBEE_HIVE_ID), or run doctor with the settings of the one that runs",
			"hive %s is served by %s on this host with another run directory than %s: two hives with one id share its jobs", e.HiveID, processes(len(others)), e.RunDir)
	}
	return warn("give each machine an id of its own with --hive-id (RBEE_HIVE_ID)",
		"hive %s is served by %s elsewhere, on %s: two machines with one id share its jobs", e.HiveID, processes(len(others)), strings.Join(slices.Compact(others), ", "))
}

func processes(n int) string {
	if n == 1 {
		return "one process"
	}
	return fmt.Sprintf("%d processes", n)
}
