package logs

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTail(t *testing.T) {
	t.Parallel()
	const text = "one\ntwo\r\nthree\nfour" // at 0, 4, 9, 15; 19 bytes
	long := strings.Repeat("x", 30<<10)
	for name, test := range map[string]struct {
		text     string
		from     int64
		lines    int
		maxBytes int64
		want     Chunk
	}{
		"an empty log":          {"", 0, 0, 0, Chunk{}},
		"all":                   {text, 0, 0, 0, Chunk{Next: 15, Lines: []string{"one", "two", "three", "four"}, Open: true}},
		"the last line":         {text, 0, 1, 0, Chunk{From: 15, Next: 15, Lines: []string{"four"}, Open: true}},
		"the last two":          {text, 0, 2, 0, Chunk{From: 9, Next: 15, Lines: []string{"three", "four"}, Open: true}},
		"finished lines":        {"one\ntwo\n", 0, 1, 0, Chunk{From: 4, Next: 8, Lines: []string{"two"}}},
		"one line":              {"one\n", 0, 20, 0, Chunk{Next: 4, Lines: []string{"one"}}},
		"behind an offset":      {text, 9, 20, 0, Chunk{From: 9, Next: 15, Lines: []string{"three", "four"}, Open: true}},
		"at the end":            {text, 19, 0, 0, Chunk{From: 19, Next: 19}},
		"beyond the end":        {text, 99, 0, 0, Chunk{From: 99, Next: 99}},
		"empty lines":           {"one\n\n\n", 0, 2, 0, Chunk{From: 4, Next: 6, Lines: []string{"", ""}}},
		"an empty first line":   {"\none\n", 0, 5, 0, Chunk{Next: 5, Lines: []string{"", "one"}}},
		"few bytes":             {text, 0, 20, 8, Chunk{From: 15, Next: 15, Lines: []string{"four"}, Open: true}},
		"bytes up to a line":    {text, 0, 20, 10, Chunk{From: 9, Next: 15, Lines: []string{"three", "four"}, Open: true}},
		"the end of a line":     {"one two three\n", 0, 20, 6, Chunk{From: 7, Next: 14, Lines: []string{"…three"}, Inside: true}},
		"of one without spaces": {"onetwothree\n", 0, 20, 4, Chunk{From: 7, Next: 12, Lines: []string{"…hree"}, Inside: true}},
		"a long line":           {long + "\n", 0, 20, 0, Chunk{Next: 30<<10 + 1, Lines: []string{long[:MaxLine] + "…"}}},
		"a progress bar":        {"load\n\r10%\r20%", 0, 20, 0, Chunk{Next: 5, Lines: []string{"load", "20%"}, Open: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.want.Size = int64(len(test.text))
			got, err := Tail(write(t, test.text), test.from, test.lines, test.maxBytes)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestTailOfALineOf10MB(t *testing.T) {
	t.Parallel()
	path := write(t, "begin\n"+strings.Repeat("x", 10<<20)+" end")
	chunk, err := Tail(path, 0, 5, 1<<40)
	require.NoError(t, err)
	require.Len(t, chunk.Lines, 1)
	require.LessOrEqual(t, len(chunk.Lines[0]), MaxLine+len("…"))
	require.True(t, strings.HasSuffix(chunk.Lines[0], "x end"))
	require.True(t, chunk.Open)
	require.True(t, chunk.Inside)
}

func TestTailIsTheEndOfAllRanges(t *testing.T) {
	t.Parallel()
	path := write(t, "")
	short := rapid.Custom(func(t *rapid.T) string {
		lines := rapid.SliceOfN(rapid.StringN(0, 50, -1), 0, 1000).Draw(t, "lines")
		return strings.Join(lines, "\n")
	})
	rapid.Check(t, func(rt *rapid.T) {
		text := short.Draw(rt, "log")
		require.NoError(rt, os.WriteFile(path, []byte(text), 0o600))
		all, err := Range(path, 0, MaxLimit, true)
		require.NoError(rt, err)
		lines := rapid.IntRange(1, 1100).Draw(rt, "lines")
		tail, err := Tail(path, 0, lines, MaxLimit)
		require.NoError(rt, err)
		require.Equal(rt, all.Lines[max(0, len(all.Lines)-lines):], tail.Lines)
		require.Equal(rt, all.Open, tail.Open)

		from, err := Range(path, tail.From, MaxLimit, true)
		require.NoError(rt, err)
		require.Equal(rt, tail.Lines, from.Lines, "From is where they begin")
		rest, err := Range(path, tail.Next, MaxLimit, true)
		require.NoError(rt, err)
		if tail.Open {
			require.Equal(rt, tail.Lines[len(tail.Lines)-1:], rest.Lines, "Next is where the open line begins")
		} else {
			require.Empty(rt, rest.Lines)
		}
	})
}

func BenchmarkTail(b *testing.B) {
	path := write(b, strings.Repeat(some(1<<20), 200))
	for name, lines := range map[string]int{"20 lines": 20, "1000 lines": 1000} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				chunk, err := Tail(path, 0, lines, MaxLimit)
				if err != nil || len(chunk.Lines) != lines {
					b.Fatal(len(chunk.Lines), err)
				}
			}
		})
	}
}

func BenchmarkRange(b *testing.B) {
	path := write(b, some(2*DefaultLimit))
	b.SetBytes(DefaultLimit)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Range(path, 0, DefaultLimit, false); err != nil {
			b.Fatal(err)
		}
	}
}
