package consumer_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
)

// panicky is a log handler that panics on one message, inside the hive's own handling of a job.
type panicky struct {
	slog.Handler
	on string
}

func (h panicky) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.on {
		panic("log " + h.on)
	}
	return nil
}

func (h panicky) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h panicky) Enabled(context.Context, slog.Level) bool { return true }

func TestPanicInTheHandlingOfAJobEndsThatJobOnly(t *testing.T) {
	t.Parallel()
	for on, want := range map[string]messages.Code{"job starts": messages.Internal, "worker spawned": ""} {
		t.Run(on, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Server(t)
			logger := slog.New(panicky{Handler: slog.DiscardHandler, on: on})
			serve(t, srv.URL(), spawned, consumer.Config{MaxJobs: 1, Logger: logger})
			nc := natstest.Dial(t, srv.URL())
			for range 3 { // the slot is free again, too
				_, err := messages.DecodeResult(ask(t, nc, "gpu-1", llama).Data)
				if want == "" {
					require.NoError(t, err)
					continue
				}
				require.ErrorIs(t, err, want)
			}
		})
	}
}
