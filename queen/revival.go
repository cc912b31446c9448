package queen

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/messages"
)

// starts hears that a hive begins to take jobs: one that had been given a job before may have died with it.
type starts struct {
	client *Client
	sub    *nats.Subscription
	heard  chan *nats.Msg // nil: nobody listens
}

// hearStarts listens for the start of the hive of e, if that is a job that may be sent again without having a second effect.
func (c *Client) hearStarts(e errand) (*starts, error) {
	s := &starts{client: c}
	if e.job == "" || e.op != messages.WorkerSpawn {
		return s, nil
	}
	s.heard = make(chan *nats.Msg, 16)
	var err error
	if s.sub, err = c.nc.ChanSubscribe(c.subjects.Narration(e.hive, messages.AboutHive, messages.ActionHiveStarted), s.heard); err != nil {
		return nil, fmt.Errorf("listen for the start of hive %s: %w", e.hive, err)
	}
	return s, nil
}

func (s *starts) close() {
	if s.sub != nil {
		_ = s.sub.Unsubscribe() // fails only if the connection has gone, and the subscription with it
	}
}

// real reports whether a message is the hive's own word.
func (s *starts) real(msg *nats.Msg) bool {
	_, err := s.client.event(msg.Subject, msg.Header, msg.Data)
	return err == nil
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
