package natsconn

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// logged is a log whose records a test can wait for.
type logged struct{ records chan slog.Record }

func newLog() *logged { return &logged{make(chan slog.Record, 1000)} }

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.records <- r
	return nil
}

// await returns the attributes of the next record with that level and message.
func (l *logged) await(t *testing.T, level slog.Level, message string) string {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case r := <-l.records:
			if r.Level == level && r.Message == message {
				var b strings.Builder
				r.Attrs(func(a slog.Attr) bool { fmt.Fprintln(&b, a); return true })
				return b.String()
			}
		case <-late:
			t.Fatalf("no %s %q in the log", level, message)
		}
	}
}
