package natsconn

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// logRefusal tells of an attempt that failed before the first connection.
func logRefusal(log *slog.Logger, cfg Config, err error, retry time.Duration) {
	args := []any{"server", cfg.String(), "err", cfg.explain(err), "retry_in", retry.Round(10 * time.Millisecond)}
	if refused(err) {
		log.Error("NATS refuses the credentials, trying again", args...)
		return
	}
	log.Warn("NATS is away, waiting for it", args...)
}

// isCourtesy reports whether the server says that a client may not listen for the start of its hive, which it does with each job that it
// sends. All works without, so nobody is troubled with it.
func isCourtesy(refusal string) bool {
	return strings.Contains(refusal, "Subscription to ") && strings.Contains(refusal, `.@hive.hive_started"`)
}

// logError tells of what NATS reports to no caller: publications that are not permitted, slow consumers, and refused
// credentials on the way back.
func logError(log *slog.Logger) nats.ErrHandler {
	return func(nc *nats.Conn, sub *nats.Subscription, err error) {
		args := []any{"err", hideUserinfo(err.Error())}
		if sub != nil {
			args = append(args, "subject", sub.Subject)
		}
		switch {
		case refused(err):
			log.Error("NATS refuses the credentials, trying again: check them here and on the server", args...)
		case errors.Is(err, nats.ErrPermissionViolation) && isCourtesy(err.Error()):
			log.Debug("NATS does not permit to hear that a hive starts again: a job is not sent again by itself", args...)
		case errors.Is(err, nats.ErrPermissionViolation):
			log.Error("NATS does not permit a subject: check the user's permissions on the server", args...)
		default:
			log.Warn("NATS reports an error", args...)
		}
	}
}

// logAway tells that the connection was lost; nothing is said when this program closed it.
func logAway(log *slog.Logger) nats.ConnErrHandler {
	return func(_ *nats.Conn, err error) {
		if err != nil {
			log.Warn("NATS is away, waiting for it", "err", hideUserinfo(err.Error()))
		}
	}
}

func logBack(log *slog.Logger) nats.ConnHandler {
	return func(nc *nats.Conn) {
		log.Info("NATS is back", "server", nc.ConnectedUrlRedacted())
	}
}

// logClosed tells that a connection ended for good; an error is there only when this program did not end it.
func logClosed(log *slog.Logger) nats.ConnHandler {
	return func(nc *nats.Conn) {
		log.Debug("NATS connection closed", "last_err", nc.LastError())
	}
}
