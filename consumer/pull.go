package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/internal/fault"
)

const (
	// pullExpires is how long the server keeps one pull; after it, the hive asks again.
	pullExpires = 30 * time.Second
	// pullHeartbeat is how often the server says meanwhile that it has not forgotten.
	pullHeartbeat = 5 * time.Second
	// pullAtOnce bounds how long the answer to a pull that does not wait may take.
	pullAtOnce = 2 * time.Second
	// pullMost bounds the jobs of one pull.
	pullMost = 32
	// collectTimeout bounds the round trip that ends a pull.
	collectTimeout = 2 * time.Second
)

// What may go wrong with a pull while nothing is wrong with the job.
var (
	errSilent      = errors.New("the server says nothing more about the queue")
	errReconnected = errors.New("the connection was made anew")
)

// puller asks for the jobs that there is room for. It is not the library's, because that cannot end a pull without losing sight of a
// job that is on its way: it would come back only after the consumer's AckWait.
type puller struct {
	nc   *nats.Conn
	src  *source
	made <-chan nats.Status // reports when the connection was made anew

	sub     *nats.Subscription // nil while nothing is asked for
	msgs    chan *nats.Msg
	pending uint64 // jobs that wait behind the last one, as far as is known
}

// pullRequest is what the server is asked.
type pullRequest struct {
	Batch     int           `json:"batch"`
	NoWait    bool          `json:"no_wait,omitempty"`
	Expires   time.Duration `json:"expires,omitempty"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
}

// next hands the next jobs to take and returns how many there were: if wait is false, one that is there, else those that come until
// there is no more, most of them at most, or until the time of the pull is over. The first is waited for, for pullExpires; none is
// if ctx ends or a slot is recalled. However it ends, nothing is on its way to this hive afterwards: what came when it was too late
// went to take, too.
func (p *puller) next(ctx context.Context, recalled <-chan struct{}, wait bool, most int, take func(*nats.Msg)) (came int, err error) {
	last := func(err error) (int, error) {
		late := p.collect()
		for _, msg := range late {
			take(msg)
		}
		return came + len(late), err
	}
	if err := p.ask(wait, most); err != nil {
		return last(err)
	}
	fault.Point("consumer-asked")
	patience := 2 * pullHeartbeat
	if !wait {
		patience = pullAtOnce
	}
	silence := time.NewTimer(patience)
	defer silence.Stop()
	for {
		select {
		case msg := <-p.msgs:
			if msg.Reply != "" {
				p.note(msg)
				take(msg)
				if came++; came == most {
					return came, nil
				}
				continue
			}
			ended, err := statusOf(msg)
			if err != nil {
				return last(err)
			}
			if ended {
				p.pending = 0
				return came, nil
			}
			silence.Reset(patience)
		case <-recalled:
			return last(nil)
		case <-ctx.Done():
			return last(nil)
		case <-p.made:
			return last(errReconnected)
		case <-silence.C:
			return last(errSilent)
		}
	}
}

// note keeps what the server says with a job of those that wait behind it.
func (p *puller) note(msg *nats.Msg) {
	p.pending = 0
	if meta, err := msg.Metadata(); err == nil {
		p.pending = meta.NumPending
	}
}

// ask sends a pull for as many jobs as most. If that is more than one, it ends when there is none left and not only when its time
// is over: each has a slot, which others may need.
func (p *puller) ask(wait bool, most int) error {
	req := pullRequest{Batch: most, NoWait: !wait || most > 1}
	if wait {
		req.Expires, req.Heartbeat = pullExpires, pullHeartbeat
	}
	data, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if p.sub == nil {
		p.msgs = make(chan *nats.Msg, 2*pullMost) // the jobs and what the server says of the pull; more never comes at once
		if p.sub, err = p.nc.ChanSubscribe(p.nc.NewInbox(), p.msgs); err != nil {
			return err
		}
	}
	return p.nc.PublishRequest(p.src.next, p.sub.Subject, data)
}

// collect ends what was asked for and returns the jobs that came all the same: the server sends nothing to who does not listen,
// and what it sent before is here when it has answered a ping behind the end of the subscription.
func (p *puller) collect() (jobs []*nats.Msg) {
	if p.sub == nil {
		return nil
	}
	sub := p.sub
	p.sub = nil
	if sub.Drain() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	_ = p.nc.FlushWithContext(ctx) // if it fails, the connection did, and the server delivers again what is missing
	for {
		select {
		case msg := <-p.msgs:
			if msg.Reply != "" {
				jobs = append(jobs, msg)
			}
		default:
			return jobs
		}
	}
}

// statusOf reads what the server says of a pull instead of a job: that it goes on, that it ended with nothing, or why it cannot.
func statusOf(msg *nats.Msg) (ended bool, err error) {
	switch status := msg.Header.Get("Status"); status {
	case "100": // a heartbeat
		return false, nil
	case "404", "408": // no messages; the time is over
		return true, nil
	case "503":
		return false, nats.ErrNoResponders
	default:
		return false, fmt.Errorf("%s (%s)", msg.Header.Get("Description"), status)
	}
}
