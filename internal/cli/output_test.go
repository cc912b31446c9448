package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"plain ✅ text":               "plain ✅ text",
		"two\nlines":                 "two\nlines",
		"\x1b[31mred\x1b[0m":         "red",
		"\x1b[38;5;1mred\x1b[2J":     "red",
		"\x1b]0;title\x07text":       "text",
		"\x1b]8;;u\x1b\\link":        "link",
		"\x1b[31":                    " [31",
		"back\rforth\ttab\x00":       "back forth tab ",
		"turned \u202erid\u2066 off": "turned \ufffdrid\ufffd off",
	}
	for text, want := range tests {
		require.Equal(t, want, Printable(text), "%q", text)
	}
}

func TestPrintableLeavesNothingThatATerminalObeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := Printable(rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.RuneFrom([]rune("\x1b[]0;m\x07\\\r\n\u009b")))).Draw(t, "text"))
		if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }); i >= 0 {
			t.Fatalf("%q holds a control character at %d", text, i)
		}
	})
}

func TestTable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	require.NoError(t, Table(&b, []string{"A", "LONG HEAD", "C"}, []string{"a long one", "x", "y"}))
	require.Equal(t, "A           LONG HEAD  C\na long one  x          y\n", b.String())
}

func TestNoColoursOffATerminal(t *testing.T) {
	t.Parallel()
	paint := NewPaint(&bytes.Buffer{})
	require.Equal(t, "a", paint.Red("a"))
	require.Equal(t, "\x1b[31ma\x1b[0m", Paint{on: true}.Red("a"))
	require.Empty(t, Paint{on: true}.Red(""))
}

func TestLog(t *testing.T) {
	t.Parallel()
	logged := func(args ...string) string {
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		log := AddLog(fs, slog.LevelInfo)
		require.NoError(t, fs.Parse(args))
		var b bytes.Buffer
		logger := log.Logger(&b)
		logger.Debug("fine", "n", 1)
		logger.Info("well", "n", 2)
		return b.String()
	}
	for _, args := range [][]string{nil, {"--log-format=auto"}, {"--log-format=json"}} {
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(logged(args...)), &record))
		require.Equal(t, "well", record["msg"])
	}
	var b bytes.Buffer
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	log := AddLog(fs, slog.LevelInfo)
	log.Logger(&b).Info("well", "took", 1500*time.Millisecond, slog.Group("more", "wait", time.Minute), "n", 3)
	require.Contains(t, b.String(), `"took":"1.5s","more":{"wait":"1m0s"},"n":3`, "a duration says its unit")

	require.Regexp(t, `^\d\d:\d\d:\d\d INF well n=2\n$`, logged("--log-format=text"))
	require.Regexp(t, `^\S+ DBG fine n=1\n\S+ INF well n=2\n$`, logged("--log-format=text", "--log-level=DEBUG"))
	require.Empty(t, logged("--log-level=warn"))

	fs = pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddLog(fs, slog.LevelInfo)
	require.ErrorContains(t, fs.Parse([]string{"--log-level=loud"}), "want debug, info, warn or error")
	require.ErrorContains(t, fs.Parse([]string{"--log-format=xml"}), "want auto, text or json")
}
