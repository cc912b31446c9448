package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/messages"
)

const (
	slowTrip   = 250 * time.Millisecond
	expirySoon = 14 * 24 * time.Hour
)

// nats examines the server, and over a connection to it what the user may do there.
func (e examiner) nats(ctx context.Context) []Check {
	nc, found := e.connect(ctx)
	if nc == nil {
		return append(found, e.run(ctx, "permissions", probe{name: "grants", run: func(context.Context) []Check {
			return warn("mend the connection first, then run doctor again", "not tried: there is no connection to NATS")
		}})...)
	}
	defer nc.Close()
	found = append(found, e.run(ctx, "server",
		probe{name: "tls", run: func(context.Context) []Check { return transport(nc) }},
		probe{name: "round_trip", run: func(ctx context.Context) []Check { return roundTrip(ctx, nc) }},
		probe{name: "version", run: func(context.Context) []Check {
			return ok("nats-server %s, named %s", nc.ConnectedServerVersion(), nc.ConnectedServerName())
		}},
		probe{name: "max_payload", run: func(context.Context) []Check { return maxPayload(nc) }},
		probe{name: "queue", run: func(ctx context.Context) []Check { return e.queue(ctx, nc) }},
		probe{name: "same_id", run: func(ctx context.Context) []Check { return e.sameID(ctx, nc) }},
	)...)
	return append(found, e.run(ctx, "permissions", e.permissions(nc)...)...)
}

// connect returns a connection, made as a hive makes it, or nil.
func (e examiner) connect(ctx context.Context) (*nats.Conn, []Check) {
	conn := make(chan *nats.Conn, 1)
	late := fail("check --server (NATS_URL) and what is between, or give it longer with --timeout", "no NATS server answers at %s within %s", e.NATS, e.Timeout)
	found := e.run(ctx, "server", probe{name: "connection", late: late, run: func(ctx context.Context) []Check {
		nc, err := natsconn.Connect(ctx, e.NATS, natsconn.Options{
			Name: "rbee-hive doctor " + e.HiveID, InboxPrefix: "_INBOX_hive-" + e.HiveID,
		})
		switch {
		case refused(err):
			return append(ok("a NATS server answers at %s", e.NATS),
				named("credentials", failBy(err, "check them against the users of the server's configuration"))...)
		case err != nil:
			return failBy(err, "check --server (NATS_URL) and the other settings of NATS")
		case ctx.Err() != nil: // nobody waits for it any more
			nc.Close()
			return late
		}
		conn <- nc
		credentials := ok("accepted")
		if !nc.AuthRequired() {
			credentials = ok("the server asks for none")
		}
		return append(ok("connected to %s", nc.ConnectedUrlRedacted()), named("credentials", credentials)...)
	}})
	select {
	case nc := <-conn:
		return nc, found
	default:
		return nil, found
	}
}

func refused(err error) bool {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// transport says whether others on the way can read what travels.
func transport(nc *nats.Conn) []Check {
	state, err := nc.TLSConnectionState()
	switch {
	case err == nil && len(state.PeerCertificates) > 0:
		end := state.PeerCertificates[0].NotAfter
		if left := time.Until(end); left < expirySoon {
			return warn("renew the server's certificate", "%s, but the server's certificate ends in %s", tls.VersionName(state.Version), left.Round(time.Hour))
		}
		return ok("%s, certificate until %s", tls.VersionName(state.Version), end.Format(time.DateOnly))
	case strings.HasPrefix(nc.ConnectedUrl(), "wss:"):
		return ok("TLS, as wss:// has it")
	}
	host, _, err := net.SplitHostPort(nc.ConnectedAddr())
	if ip := net.ParseIP(host); err == nil && ip.IsLoopback() {
		return ok("none; the connection does not leave this machine")
	}
	return warn("turn on the tls block of nats-server.conf, and give the hive NATS_CA and a tls:// URL",
		"none: passwords, jobs and narration travel to %s for everyone on the way to read", nc.ConnectedAddr())
}

// roundTrip measures what each request costs at least.
func roundTrip(ctx context.Context, nc *nats.Conn) []Check {
	var best time.Duration
	for range 5 {
		begin := time.Now()
		if err := nc.FlushWithContext(ctx); err != nil {
			return fail("find out why the server stopped answering", "the server does not answer: %v", err)
		}
		if took := time.Since(begin); best == 0 || took < best {
			best = took
		}
	}
	if best > slowTrip {
		return warn("use a server that is nearer", "%s, the best of five: every job takes that much longer", best.Round(time.Millisecond))
	}
	return ok("%s, the best of five", best.Round(time.Microsecond))
}

func maxPayload(nc *nats.Conn) []Check {
	if most := nc.MaxPayload(); most < messages.MaxPayload {
		return fail("set max_payload in nats-server.conf to 64KB or more; 1MB is its default",
			"the server takes %d bytes in a message, a job may have %d", most, messages.MaxPayload)
	}
	return ok("%d KiB; a job may have %d", nc.MaxPayload()>>10, messages.MaxPayload>>10)
}
