package queen

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/messages"
)

const (
	// storyBuffer is how many events of one job wait for a slow listener before some are lost. A job has about ten.
	storyBuffer = 256
	// lateEnd is how long an answered job's terminal event is waited for, where the answer took a shorter way.
	lateEnd = 250 * time.Millisecond
)

// story is the narration of one job while it is asked for. Only one goroutine uses it.
//
// The hive publishes a job's events before its answer on one connection, a server hands both on in that order, and nats.go
// puts each event into the channel below before it looks at the answer. So whoever holds the answer finds every event in
// the channel. Only where servers route the two differently (hives in an account of their own) can the answer overtake.
type story struct {
	client  *Client
	narrate func(messages.Event)
	sub     *nats.Subscription
	arrived chan *nats.Msg
	begun   bool // some event was told
	ended   bool // the terminal event was told
}

// follow subscribes to the narration of a job; without a listener it returns nil. The server handles the subscription before
// anything that is published later on this connection, so there is nothing to wait for.
func (c *Client) follow(e errand, narrate func(messages.Event)) (*story, error) {
	if narrate == nil {
		return nil, nil
	}
	s := &story{client: c, narrate: narrate, arrived: make(chan *nats.Msg, storyBuffer)}
	var err error
	if s.sub, err = c.nc.ChanSubscribe(c.subjects.Narration(e.hive, e.job, ""), s.arrived); err != nil {
		return nil, fmt.Errorf("follow job %s: %w", e.job, err)
	}
	return s, nil
}

func (s *story) close() {
	if s == nil {
		return
	}
	_ = s.sub.Unsubscribe() // fails only if the connection has gone, and the subscription with it
}

// events returns what has arrived; without a story nothing does.
func (s *story) events() <-chan *nats.Msg {
	if s == nil {
		return nil
	}
	return s.arrived
}

// tell narrates one message if it is an event of this job.
func (s *story) tell(msg *nats.Msg) {
	event, err := s.client.event(msg.Subject, msg.Header, msg.Data)
	if err != nil {
		return
	}
	s.begun = true
	s.ended = s.ended || event.Terminal
	s.narrate(event)
}

// finish tells what has arrived. If the job was answered, it also waits for the end of a story that has begun.
func (s *story) finish(answered bool) {
	if s == nil {
		return
	}
	for len(s.arrived) > 0 {
		s.tell(<-s.arrived)
	}
	if !answered {
		return
	}
	late := time.NewTimer(lateEnd)
	defer late.Stop()
	for s.begun && !s.ended {
		select {
		case msg := <-s.arrived:
			s.tell(msg)
		case <-late.C:
			return
		}
	}
}

// event reads a narration event. It must say of itself what its subject says, because the subject is what the server
// checks: a hive may speak only for itself.
func (c *Client) event(subject string, header nats.Header, data []byte) (messages.Event, error) {
	if repeated(header) {
		return messages.Event{}, fmt.Errorf("read a narration event: what came on %s was repeated out of a stream", subject)
	}
	event, err := messages.DecodeEvent(data)
	if err != nil {
		return messages.Event{}, err
	}
	if own := c.subjects.Narration(event.HiveID, event.About(), event.Action); own != subject {
		return messages.Event{}, fmt.Errorf("read a narration event: it came on %s and belongs on %s", subject, own)
	}
	return event, nil
}
