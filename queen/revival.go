package queen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/messages"
)

// revivalPause is how long a request is waited for before it is sent once more, however often its hive starts.
const revivalPause = time.Second

// revival tells when a job is to be sent again: its hive has begun to take jobs, so one that had been given it before may have died
// with it. It is for one goroutine.
type revival struct {
	client *Client
	hive   string
	sub    *nats.Subscription
	heard  chan *nats.Msg // that the hive has started; nil: nobody listens
	seen   map[string]bool
	due    *time.Timer // when it is to be looked whether the job may be sent
	last   time.Time   // when that was the last time
	alone  chan bool   // what came of it
	group  sync.WaitGroup
	stop   func()
}

// hearStarts listens for the start of the hive of e, if that is a job that may be sent again without having a second effect.
func (c *Client) hearStarts(e errand) (*revival, error) {
	r := &revival{client: c, hive: e.hive, seen: make(map[string]bool), due: time.NewTimer(time.Hour), alone: make(chan bool, 1), stop: func() {}}
	r.due.Stop()
	if e.job == "" || e.op != messages.WorkerSpawn {
		return r, nil
	}
	r.heard = make(chan *nats.Msg, 16)
	var err error
	if r.sub, err = c.nc.ChanSubscribe(c.subjects.Narration(e.hive, messages.AboutHive, messages.ActionHiveStarted), r.heard); err != nil {
		return nil, fmt.Errorf("listen for the start of hive %s: %w", e.hive, err)
	}
	return r, nil
}

func (r *revival) close() {
	if r.sub != nil {
		_ = r.sub.Unsubscribe() // fails only if the connection has gone, and the subscription with it
	}
	r.due.Stop()
	r.stop()
	r.group.Wait()
}

// started takes note of a message, if it is the hive's own word and not one that was heard before.
func (r *revival) started(msg *nats.Msg) {
	e, err := r.client.event(msg.Subject, msg.Header, msg.Data)
	if err != nil || r.seen[e.ID] {
		return
	}
	r.seen[e.ID] = true
	r.soon()
}

// soon has the job sent again, a while behind the last time.
func (r *revival) soon() { r.due.Reset(max(0, time.Until(r.last.Add(revivalPause)))) }

// look finds out whether the hive is the only one with its id, and tells it to r.alone. Two machines that share an id are two hives: the
// start of one says nothing of a job that was given to the other, and would have it run on both. Where nobody may ask, nothing is
// sent again.
func (r *revival) look(ctx context.Context) {
	r.last = time.Now()
	r.stop()
	ctx, r.stop = context.WithCancel(ctx)
	r.group.Go(func() {
		hives, err := r.client.discover(ctx)
		one := err == nil && ctx.Err() == nil
		var first *Hive
		for i, h := range hives {
			switch {
			case h.ID != r.hive:
			case first == nil:
				first = &hives[i]
			default:
				one = one && sameHive(*first, h)
			}
		}
		select {
		case r.alone <- one:
		default: // one that nobody asks for any more is there
		}
	})
}

// sameHive reports whether two processes with one id serve one hive, as during an upgrade: they have one run directory, or, where that is
// not told, one host.
func sameHive(a, b Hive) bool {
	if a.RunDir != "" && b.RunDir != "" {
		return a.RunDir == b.RunDir
	}
	return a.Host == b.Host && a.Host != ""
}

// reply is what became of one request.
type reply struct {
	msg *nats.Msg
	err error
}

// sender publishes one request as often as it is told to. The first answer to any of them counts.
type sender struct {
	send    func() (*nats.Msg, error)
	cancel  func()
	over    chan struct{}
	group   sync.WaitGroup
	replies chan reply
	sent    int // how often it was published
	unheard int // how many of them nobody took
}

// newSender returns a sender whose requests end with ctx or with close.
func newSender(ctx context.Context, send func(ctx context.Context) (*nats.Msg, error)) *sender {
	ctx, cancel := context.WithCancel(ctx)
	return &sender{
		send:   func() (*nats.Msg, error) { return send(ctx) },
		cancel: cancel, over: make(chan struct{}), replies: make(chan reply),
	}
}

// again publishes the request.
func (s *sender) again() {
	s.sent++
	s.group.Go(func() {
		msg, err := s.send()
		select {
		case s.replies <- reply{msg, err}:
		case <-s.over:
		}
	})
}

// turnedAway reports whether a hive had no room for a request that was sent before: that says nothing of the job.
func (s *sender) turnedAway(r reply) bool {
	if s.sent < 2 || r.err != nil {
		return false
	}
	_, err := messages.DecodeResult(r.msg.Data)
	return errors.Is(err, messages.HiveBusy) || errors.Is(err, messages.HiveDraining)
}

// final reports whether r ends the waiting. That nobody took one request says nothing while another was taken, which may be answered yet.
func (s *sender) final(r reply) bool {
	if errors.Is(r.err, nats.ErrNoResponders) {
		s.unheard++
		return s.unheard == s.sent
	}
	return true
}

// close ends all requests and returns when they have ended.
func (s *sender) close() {
	close(s.over)
	s.cancel()
	s.group.Wait()
}
