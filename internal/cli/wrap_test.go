package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"nothing":                  {"", ""},
		"a paragraph is set anew":  {"one two\nthree four five", "one two three four\nfive"},
		"paragraphs stay apart":    {"one\n\ntwo", "one\n\ntwo"},
		"a line may be full":       {strings.Repeat("x", 19) + " y", strings.Repeat("x", 19) + "\ny"},
		"characters, not bytes":    {"ääääääääää ööööööööö", "ääääääääää ööööööööö"},
		"a long word":              {"see nats://queen.example:4222/ now", "see\nnats://queen.example:4222/\nnow"},
		"a list":                   {"so:\n  a     one two three\n  b c   four five six", "so:\n  a     one two\n        three\n  b c   four five\n        six"},
		"what can be typed":        {"type\n  rbee spawn --model tiny", "type\n  rbee spawn --model tiny"},
		"behind a tab":             {"\tsource <(rbee completion bash)", "\tsource <(rbee completion bash)"},
		"a short line of a list":   {"  a  one", "  a  one"},
		"a gap without what comes": {"  aaaaaaaaaaaaaaaaaaaa  ", "  aaaaaaaaaaaaaaaaaaaa  "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, Wrap(test.text, 20))
		})
	}
}
