// Package queen is the other end of a hive: it sends jobs, finds hives, follows their narration, and keeps the registry
// that heartbeats feed.
//
// For most uses, connect to NATS, then:
//
//	client := queen.New(nc, queen.Config{})
//	result, err := client.Spawn(ctx, "gpu-1", messages.Job{Model: "meta-llama/Llama-3-8b", Device: "cuda:0"}, nil)
//
// [Client.Workers] and [Client.Worker] tell what runs on a hive's machine, [Client.Delete] ends a worker, and [Client.Logs]
// and [Client.Follow] read its log.
//
// A [Client] asks hives over NATS. A [Registry] listens to workers over HTTP, and is the only source of truth about them.
// Neither needs the other.
//
// # The registry over HTTP
//
// A worker posts a [messages.Heartbeat] of at most 64 KiB to /v1/worker-heartbeat and gets 204 with no body:
//
//	POST /v1/worker-heartbeat
//	{"worker":{"id":"worker-abc123","model_id":"meta-llama/Llama-3-8b","device":"cuda:0","port":9001,"status":"ready",
//	 "implementation":"llm-worker-rbee","version":"0.1.0","pid":12345,"hive_id":"gpu-1","host":"gpu-1.example"},
//	 "timestamp":"2026-11-22T12:00:00Z"}
//
// GET /v1/workers answers every worker, sorted by id, and GET /v1/workers/{id} one of them. A worker is a [Worker]:
//
//	{"workers":[{"id":"worker-abc123",…,"status":"ready","hive_id":"gpu-1","host":"gpu-1.example","state":"ready",
//	 "first_heartbeat":"2026-11-22T12:00:00Z","last_heartbeat":"2026-11-22T12:05:00Z","age_ms":1200}]}
//
// A refusal has the status code that HTTP has for it and one shape:
//
//	{"error":{"code":"invalid_heartbeat","message":"heartbeat: worker.port: is 0; use 1 to 65535"}}
//
// The codes are invalid_heartbeat (400), worker_not_found and not_found (404), method_not_allowed (405), too_large (413)
// and registry_full (503).
package queen

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rbee-keeper/hive/messages"
)

// Config holds the settings of a [Client]. The zero value works.
type Config struct {
	// Subjects names the subjects of the fleet; the zero value uses [messages.DefaultPrefix].
	Subjects messages.Subjects
}

// Client asks the hives of one fleet. It is safe for concurrent use.
type Client struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	subjects messages.Subjects
}

// New returns a client on nc, which stays the caller's to close. Connect with [nats.PermissionErrOnSubscribe], so that
// [Narration.Next] tells a refusal that another error of the connection hid from [Client.Watch].
func New(nc *nats.Conn, cfg Config) *Client {
	js, err := jetstream.New(nc)
	if err != nil {
		panic(err) // only options can be wrong, and there are none
	}
	return &Client{nc: nc, js: js, subjects: cfg.Subjects}
}

// refused returns the server's refusal to let this user publish or subscribe to subject, if it came after since was the
// last error of the connection. A connection remembers only its newest error, so nil proves nothing.
func (c *Client) refused(subject string, since error) error {
	err := c.nc.LastError()
	if errors.Is(err, since) || !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	// Which subject was refused stands only in the text.
	if !strings.Contains(err.Error(), strconv.Quote(subject)) {
		return nil
	}
	return err
}

// forbidden puts the server's refusal to let this user publish to subject into words that say what to do.
func (c *Client) forbidden(subject string, refusal error) error {
	return fmt.Errorf("%s may not publish on %s: have whoever runs the NATS server permit it (deploy/nats-server.conf shows what each user needs), or connect as another user: %w",
		c.user(), subject, refusal)
}

// user names the user of the connection as far as it is known here. A name without a password is a token, and that is a secret.
func (c *Client) user() string {
	name := c.nc.Opts.User
	if u, err := url.Parse(c.nc.ConnectedUrl()); name == "" && err == nil && u.User != nil {
		if _, plain := u.User.Password(); plain {
			name = u.User.Username()
		}
	}
	if name == "" {
		return "this user"
	}
	return "user " + strconv.Quote(name)
}
