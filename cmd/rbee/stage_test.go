package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rbee-keeper/hive/messages"
)

func TestStage(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := newStage(&b)
	s.title("A story")
	s.begin("It %s.", "begins")
	s.say("one line")
	_, err := s.Write([]byte("two\nlin"))
	require.NoError(t, err)
	_, err = s.Write([]byte("es\n"))
	require.NoError(t, err)
	s.begin("It ends.")
	require.Equal(t, "A story\n\n1. It begins.\n   one line\n   two\n   lines\n\n2. It ends.\n", b.String())
}

func TestSpeechBreaksBetweenWords(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	text := &speech{stage: newStage(&b)}
	for _, piece := range []string{"A", " wor", "ker", " that", "\x1b[31m falls", ".", strings.Repeat(" is found", 12)} {
		text.add(piece)
	}
	text.end()
	require.Equal(t, "   A worker that falls."+strings.Repeat(" is found", 7)+" is\n"+
		"   found"+strings.Repeat(" is found", 4)+"\n", b.String())
}

func TestFoldKeepsEveryWord(t *testing.T) {
	t.Parallel()
	require.Equal(t, "one two\n  three", fold("one two three", 10))
	require.Equal(t, "a-word-that-is-too-long", fold("a-word-that-is-too-long", 10))
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,12}`), 1, 30).Draw(t, "words")
		width := rapid.IntRange(15, 40).Draw(t, "width")
		folded := fold(strings.Join(words, " "), width)
		require.Equal(t, words, strings.Fields(folded))
		for line := range strings.Lines(folded) {
			require.LessOrEqual(t, len(strings.TrimRight(line, "\n")), width)
		}
	})
}

func TestNarratorWritesOneLinePerEvent(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	n := newNarrator(&b, &lead{clock: true})
	n.tell(messages.Event{Human: "two\nlines \x1b[2Jand\ttab", Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local), Level: messages.LevelError})
	require.Equal(t, "12:00:00 two lines and tab\n", b.String())
}

func TestDetailsShowWhatIsKnown(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  messages.Error
		want string
	}{
		"nothing":   {messages.Error{Message: "broken"}, ""},
		"output":    {messages.Error{LogTail: []string{"one", "two\nthree"}}, "  its last output:\n    one\n    two three\n"},
		"places":    {messages.Error{Tried: []string{"/a", "/b"}}, "  looked at:\n    /a\n    /b\n"},
		"named":     {messages.Error{Message: "looked for /a, /b", Tried: []string{"/a", "/b"}}, ""},
		"retryable": {messages.Error{Retryable: true}, "  The same job may succeed later.\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, details(&test.err))
		})
	}
}
