package natsconn

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"
)

// Options says what a program is on the wire and how it takes a server that is away.
type Options struct {
	// Name is the connection's name, shown by `nats server report connections`.
	Name string
	// InboxPrefix is the program's own default for [Config.InboxPrefix]; empty means the one that is said there.
	InboxPrefix string
	// Logger is told what happens to the connection; nil means nobody.
	Logger *slog.Logger
	// Wait is for daemons: try until the server is there and takes the credentials, and say so at each attempt. Credentials
	// that are refused are waited for like a server that is away, because they can be put right on the server.
	Wait bool
}

// dialTimeout bounds an attempt, per address: a server far away, or on a busy machine, takes its time to say hello.
const dialTimeout = 5 * time.Second

// Delays between two attempts: the first, and the longest that it grows to.
const (
	firstDelay = 250 * time.Millisecond
	mostDelay  = 10 * time.Second
)

// Connect returns a connection. Once it is up it comes back by itself, however long the server is away; its handlers say
// in the log when it goes and comes.
//
// Without opts.Wait the first attempt decides, within seconds. With it Connect returns only once connected, or with the
// cause of ctx, or at once for a mistake in the settings or files of this machine. Errors say what to do next.
func Connect(ctx context.Context, cfg Config, opts Options) (*nats.Conn, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	settings, err := cfg.options()
	if err != nil {
		return nil, err
	}
	opts.InboxPrefix = cfg.inbox(opts.InboxPrefix)
	settings = append(settings, behaviour(opts)...)
	settings = append(settings, nats.PingInterval(cmp.Or(cfg.PingInterval, DefaultPingInterval)))
	for attempt := 1; ; attempt++ {
		nc, tried, err := cfg.dial(settings)
		switch {
		case err == nil:
			return nc, nil
		case !tried:
			return nil, cfg.explainLocal(err)
		case !opts.Wait:
			return nil, cfg.explain(err)
		}
		delay := backoff(attempt)
		logRefusal(opts.Logger, cfg, err, delay)
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(delay):
		}
	}
}

// dial makes one attempt. Unless tried, the error is about
// this machine's files alone and trying again cannot help.
func (c Config) dial(settings []nats.Option) (nc *nats.Conn, tried bool, err error) {
	last := func(o *nats.Options) error { // files are read by the options before it, servers are called after it
		tried = true
		if c.Server != "" || c.Context == "" { // a context gives its own servers
			o.Servers = c.servers()
		}
		return nil
	}
	settings = append(slices.Clip(settings), last)
	if c.Context == "" {
		nc, err = nats.Connect("", settings...)
	} else {
		nc, _, err = natscontext.Connect(c.Context, settings...)
	}
	return nc, tried, err
}

// behaviour returns the options that do not depend on the server.
func behaviour(opts Options) []nats.Option {
	settings := []nats.Option{
		nats.Name(opts.Name),
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(backoff),
		nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(logError(opts.Logger)),
		nats.DisconnectErrHandler(logAway(opts.Logger)),
		nats.ReconnectHandler(logBack(opts.Logger)),
		nats.ClosedHandler(logClosed(opts.Logger)),
	}
	if opts.InboxPrefix != "" {
		settings = append(settings, nats.CustomInboxPrefix(opts.InboxPrefix))
	}
	if opts.Wait {
		// Without it two equal refusals close the connection for good, and credentials are often mended on the server.
		settings = append(settings, nats.IgnoreAuthErrorAbort())
	}
	return settings
}

// backoff returns how long to wait after the given number of failed rounds: twice as long each time, and a random part of
// it more, so that a fleet does not come back in step.
func backoff(rounds int) time.Duration {
	delay := mostDelay
	if rounds < 6 {
		delay = firstDelay << max(rounds-1, 0)
	}
	return delay + rand.N(delay/4)
}
