package queen

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/rbee-keeper/hive/messages"
)

const (
	// longest is how long hives are listened for at most.
	longest = time.Second
	// quiet ends the listening once nobody new was heard for so long.
	quiet = 100 * time.Millisecond
	// knownWait bounds the search for the hives that exist when the one that was asked does not.
	knownWait = time.Second
)

// Hive is one process of a hive, as it describes itself.
type Hive struct {
	// ID is the hive's id. Two processes of one hive share it.
	ID string `json:"hive_id"`
	// Platform is what its machine runs, like "linux/amd64"; empty if it does not say.
	Platform string `json:"platform"`
	// Version is the version of the program; empty if it does not say.
	Version string `json:"version"`
	// Devices are what its machine had when it started: how jobs name them, and their names. Nil if it does not say.
	Devices []messages.Device `json:"devices,omitempty"`
	// Host is the name of its machine; empty if it does not say.
	Host string `json:"host,omitempty"`
	// RunDir is a word for its run directory. Two processes with one are one hive; with another each, they are two hives that share the
	// jobs of one id. Empty if it does not say.
	RunDir string `json:"run_dir,omitempty"`
	// ServiceID tells the processes of one hive apart; each start has a new one.
	ServiceID string `json:"service_id"`
	// RTT is how long its answer took, in nanoseconds as JSON.
	RTT time.Duration `json:"rtt_ns"`
}

// Hives asks which hives there are and returns those that answer under the client's prefix, sorted by id: nil if none
// does. It listens until nobody new was heard for 100 ms, a second at most, or until ctx ends, which is an error beside those that were heard
// by then. So an empty fleet is known at once and a full one after about 100 ms; a hive that takes longer to answer is not seen.
func (c *Client) Hives(ctx context.Context) ([]Hive, error) {
	hives, err := c.discover(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return hives, fmt.Errorf("find hives: %w", err)
	}
	return hives, nil
}

// discover returns the hives that answer until it is quiet, sorted. The end of ctx ends it without an error.
func (c *Client) discover(ctx context.Context) ([]Hive, error) {
	subject, err := micro.ControlSubject(micro.PingVerb, messages.ServiceName, "")
	if err != nil {
		return nil, err
	}
	answers := make(chan *nats.Msg, 1024)
	sub, err := c.nc.ChanSubscribe(c.nc.NewInbox(), answers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()

	before, asked := c.nc.LastError(), time.Now()
	if err := c.nc.PublishRequest(subject, sub.Subject, nil); err != nil {
		return nil, err
	}
	hives, heard := c.collect(ctx, answers, asked)
	if !heard {
		return nil, c.silence(ctx, subject, before)
	}
	slices.SortFunc(hives, func(a, b Hive) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.ServiceID, b.ServiceID))
	})
	return hives, nil
}

// collect gathers answers until it is quiet, and says whether anything was heard, be it that nobody is there.
func (c *Client) collect(ctx context.Context, answers <-chan *nats.Msg, asked time.Time) (hives []Hive, heard bool) {
	end := time.NewTimer(longest)
	defer end.Stop()
	var silent <-chan time.Time
	for {
		select {
		case msg := <-answers:
			heard = true
			if len(msg.Data) == 0 { // the server's own answer: no responders
				return hives, heard
			}
			if hive, ok := c.hive(msg.Data); ok {
				hive.RTT = time.Since(asked)
				hives = append(hives, hive)
			}
			silent = time.After(quiet)
		case <-silent:
			return hives, heard
		case <-end.C:
			return hives, heard
		case <-ctx.Done():
			return hives, heard
		}
	}
}

// hive reads one answer. It is none of ours if its prefix is another or its id is no id.
func (c *Client) hive(data []byte) (Hive, bool) {
	var ping micro.Ping
	if err := json.Unmarshal(data, &ping); err != nil {
		return Hive{}, false
	}
	meta := ping.Metadata
	if meta[messages.MetaPrefix] != c.subjects.Prefix() || messages.CheckID(meta[messages.MetaHiveID]) != nil {
		return Hive{}, false
	}
	return Hive{
		ID: meta[messages.MetaHiveID], Platform: meta[messages.MetaPlatform], Version: cmp.Or(meta[messages.MetaVersion], ping.Version), ServiceID: ping.ID,
		Devices: messages.ParseDevices(meta[messages.MetaDevices]), Host: meta[messages.MetaHost], RunDir: meta[messages.MetaRunDir],
	}, true
}

// silence explains why not even the server answered, or returns nil if it cannot. A refusal comes before the answer to a flush.
func (c *Client) silence(ctx context.Context, subject string, before error) error {
	if c.nc.IsConnected() {
		ctx, cancel := context.WithTimeout(ctx, subscribeWait)
		defer cancel()
		_ = c.nc.FlushWithContext(ctx)
	}
	if err := c.refused(subject, before); err != nil {
		return err
	}
	if !c.nc.IsConnected() {
		return nats.ErrDisconnected
	}
	return nil
}
