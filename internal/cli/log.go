package cli

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/pflag"
)

// Log is the flags that say how to log.
type Log struct {
	format *Choice
	level  level
}

// AddLog adds --log-format and --log-level to fs; least is the level that is logged by default.
func AddLog(fs *pflag.FlagSet, least slog.Level) *Log {
	l := &Log{format: NewChoice("auto", "text", "json"), level: level(least)}
	fs.Var(l.format, "log-format", "log as text or JSON; auto is text on a terminal and JSON elsewhere")
	fs.Var(&l.level, "log-level", "log what is at least that grave")
	Variables(fs, map[string]string{"log-format": "RBEE_LOG_FORMAT", "log-level": "RBEE_LOG_LEVEL"})
	return l
}

// Logger returns a logger that writes to w.
func (l *Log) Logger(w io.Writer) *slog.Logger {
	least := slog.Level(l.level)
	format := l.format.String()
	if format == "json" || format == "auto" && !IsTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least, ReplaceAttr: spellDuration}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: least, TimeFormat: time.TimeOnly, NoColor: !NewPaint(w).on}))
}

// spellDuration has JSON say a duration as text does, such as "1.5s", where it would be a number of nanoseconds that does not say so.
func spellDuration(_ []string, attr slog.Attr) slog.Attr {
	if attr.Value.Kind() == slog.KindDuration {
		attr.Value = slog.StringValue(attr.Value.Duration().String())
	}
	return attr
}

// level is a flag that takes the name of a log level.
type level slog.Level

var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// String returns the level's name in lower case.
func (l *level) String() string { return strings.ToLower(slog.Level(*l).String()) }

// Set takes the name of a level.
func (l *level) Set(name string) error {
	for _, known := range levels {
		if strings.EqualFold(name, known.String()) {
			*l = level(known)
			return nil
		}
	}
	return fmt.Errorf("want debug, info, warn or error")
}

// Type returns what --help shows for the value.
func (l *level) Type() string { return "debug|info|warn|error" }
