package logs

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestClean(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxLine)
	for name, test := range map[string]struct{ raw, want string }{
		"nothing":                      {"", ""},
		"text":                         {"loading llama", "loading llama"},
		"an end of line":               {"one\n", "one"},
		"a windows end":                {"one\r\n", "one"},
		"several carriage returns":     {"one\r\r\n", "one"},
		"other alphabets":              {"größer 模型 🚀", "größer 模型 🚀"},
		"a progress bar":               {"\r 10%|#  |\r 50%|## |\r100%|###|\n", "100%|###|"},
		"a bar that goes on":           {"\r 10%|#  |\r 50%|## |\r", " 50%|## |"},
		"colours":                      {"\x1b[1;31merror:\x1b[0m no memory", "error: no memory"},
		"a window's title":             {"\x1b]0;title\x07a\x1b]0;title\x1b\\b", "ab"},
		"a title without an end":       {"a\x1b]0;title", "a"},
		"a device's string":            {"a\x1bPq#0\x1b\\b", "ab"},
		"a character set":              {"a\x1b(Bb", "ab"},
		"an escape without a code":     {"a\x1bb", "ab"},
		"an escape out of two":         {"\x1b\x1b[0m[31ma", "[31ma"},
		"tabs, bells, zeros":           {"a\tb\a\x00c\x7f", "a bc"},
		"controls beyond ASCII":        {"a\u0085\u009bb", "ab"},
		"no UTF-8":                     {"a\xff\xfe\xc3b", "a\uFFFDb"},
		"a line of the longest":        {long, long},
		"one byte more":                {long + "y", long + "…"},
		"cut before a character":       {long[1:] + "ä", long[1:] + "…"},
		"a long line, steered":         {"\x1b[1m" + long + "\x1b[0m", long},
		"a carriage return on its own": {"\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, Clean([]byte(test.raw)))
		})
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{
		"", "a\r\n", "\x1b[31m", "\x1b]0;a\x07", "\x1b\x1b[0m[31m", "a\xff\xc3\x28", "\r1\r2\r", "é\u009b\x00", strings.Repeat("ä", MaxLine),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := string(raw)
		got := Clean(raw)
		require.Equal(t, before, string(raw), "what was read is left alone")
		require.True(t, utf8.ValidString(got))
		require.Negative(t, strings.IndexFunc(got, unicode.IsControl))
		require.LessOrEqual(t, len(got), MaxLine+len("…"))
		if len(got) <= MaxLine {
			require.Equal(t, got, Clean([]byte(got)), "nothing is left to clean")
		}
		if plain(before) && len(before) <= MaxLine {
			require.Equal(t, before, got)
		}
	})
}

func FuzzBreak(f *testing.F) {
	f.Add([]byte("ä"))
	f.Add([]byte("https://me:secret@hub and more"))
	f.Add([]byte("aaaaaa\xc3"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) == 0 {
			return
		}
		n := breakAt(raw)
		require.Positive(t, n)
		require.LessOrEqual(t, n, len(raw))
		if utf8.Valid(raw) {
			require.True(t, utf8.Valid(raw[:n]), "no character is torn")
		}
	})
}

func TestALongLineIsBrokenAtASpace(t *testing.T) {
	t.Parallel()
	secret := "https://me:secret@hub/model"
	path := write(t, strings.Repeat("x", MaxLine-10)+" "+secret+"\n")
	chunk, err := Range(path, 0, 0, false)
	require.NoError(t, err)
	require.Equal(t, []string{strings.Repeat("x", MaxLine-10) + " ", secret}, chunk.Lines)
	chunk, err = Tail(path, 0, 1, 40)
	require.NoError(t, err)
	require.Equal(t, []string{"…" + secret}, chunk.Lines)
}
