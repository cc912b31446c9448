package logs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRange(t *testing.T) {
	t.Parallel()
	const text = "one\ntwo\r\nthree\nfour" // at 0, 4, 9, 15; 19 bytes
	for name, test := range map[string]struct {
		text        string
		from, limit int64
		ended       bool
		want        Chunk
	}{
		"an empty log":           {"", 0, 0, false, Chunk{}},
		"whole lines":            {text, 0, 0, false, Chunk{Next: 15, Lines: []string{"one", "two", "three"}}},
		"all when it has ended":  {text, 0, 0, true, Chunk{Next: 19, Lines: []string{"one", "two", "three", "four"}, Open: true}},
		"from a line":            {text, 9, 0, false, Chunk{From: 9, Next: 15, Lines: []string{"three"}}},
		"from within a line":     {text, 11, 0, false, Chunk{From: 11, Next: 15, Lines: []string{"ree"}, Inside: true}},
		"up to the limit":        {text, 0, 10, false, Chunk{Next: 9, Lines: []string{"one", "two"}}},
		"a limit within a line":  {text, 0, 2, false, Chunk{Next: 2, Lines: []string{"on"}, Open: true}},
		"the rest of that":       {text, 2, 2, false, Chunk{From: 2, Next: 4, Lines: []string{"e"}, Inside: true}},
		"the unfinished line":    {text, 15, 0, false, Chunk{From: 15, Next: 15}},
		"a limited end":          {text, 15, 2, true, Chunk{From: 15, Next: 17, Lines: []string{"fo"}, Open: true}},
		"at the end":             {text, 19, 0, true, Chunk{From: 19, Next: 19}},
		"beyond the end":         {text, 99, 0, true, Chunk{From: 99, Next: 99}},
		"empty lines":            {"\n\n\n", 0, 2, false, Chunk{Next: 2, Lines: []string{"", ""}}},
		"zeros at the beginning": {"\x00\x00one\n", 0, 0, false, Chunk{Next: 6, Lines: []string{"one"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.want.Size = int64(len(test.text))
			got, err := Range(write(t, test.text), test.from, test.limit, test.ended)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestRangeIsBounded(t *testing.T) {
	t.Parallel()
	path := write(t, strings.Repeat("\n", 2*MaxLimit))
	chunk, err := Range(path, 0, 1<<40, false)
	require.NoError(t, err)
	require.Len(t, chunk.Lines, MaxLines)
	require.Equal(t, int64(MaxLines), chunk.Next)

	path = write(t, strings.Repeat("x", 10<<20)+"\nnext\n") // one line of 10 MiB
	var next int64
	for next < 10<<20 {
		chunk, err = Range(path, next, 1<<40, false)
		require.NoError(t, err)
		require.Equal(t, next, chunk.From)
		require.LessOrEqual(t, chunk.Next-chunk.From, int64(MaxLimit))
		require.Greater(t, chunk.Next, chunk.From)
		for _, line := range chunk.Lines {
			require.LessOrEqual(t, len(line), MaxLine)
		}
		next = chunk.Next
	}
	require.Equal(t, "next", chunk.Lines[len(chunk.Lines)-1])
}

func TestWhatIsNoLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	require.NoError(t, os.WriteFile(target, []byte("secret\n"), 0o600))
	require.NoError(t, os.Symlink(target, filepath.Join(dir, "symlink.log")))
	for name, want := range map[string]string{"symlink.log": "symbolic link", ".": "directory"} {
		path := filepath.Join(dir, name)
		var refused *NotLogError
		_, err := Range(path, 0, 0, false)
		require.ErrorAs(t, err, &refused, name)
		require.ErrorContains(t, err, want)
		_, err = Tail(path, 0, 0, 0)
		require.ErrorAs(t, err, &refused, name)
		_, err = Rotate(path, Policy{})
		require.ErrorAs(t, err, &refused, name)
		_, _, err = Progress(path)
		require.ErrorAs(t, err, &refused, name)
	}
	none := filepath.Join(dir, "none.log")
	_, err := Range(none, 0, 0, false)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Tail(none, 0, 0, 0)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Rotate(none, Policy{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, _, err = Progress(none)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestAsksThatMakeNoSense(t *testing.T) {
	t.Parallel()
	path := write(t, "one\n")
	_, err := Range(path, -1, 0, false)
	require.ErrorContains(t, err, "offset -1")
	_, err = Range(path, 0, -1, false)
	require.ErrorContains(t, err, "limit of -1")
	_, err = Tail(path, -1, 0, 0)
	require.ErrorContains(t, err, "negative")
}

// anyLog draws what a log may hold: lines of all lengths, ends of all kinds, and nonsense.
func anyLog() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		for range rapid.IntRange(0, 30).Draw(t, "parts") {
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				b.Write(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes"))
			case 1:
				b.WriteString(strings.Repeat(rapid.SampledFrom([]string{"x", "ä", "\xff", "word "}).Draw(t, "unit"), rapid.IntRange(0, 2*MaxLine).Draw(t, "times")))
			case 2:
				b.WriteString(rapid.SampledFrom([]string{"\r", "\r\n", "\x00", "\x1b[1m", "\n\n"}).Draw(t, "mark"))
			default:
				b.WriteString(rapid.StringN(0, 40, -1).Draw(t, "text") + "\n")
			}
		}
		return b.String()
	})
}

func TestRangesAreTheWholeLog(t *testing.T) {
	t.Parallel()
	path := write(t, "")
	rapid.Check(t, func(rt *rapid.T) {
		text := anyLog().Draw(rt, "log")
		require.NoError(rt, os.WriteFile(path, []byte(text), 0o600))
		ended := rapid.Bool().Draw(rt, "ended")
		limits := rapid.OneOf(rapid.Int64Range(1, 100), rapid.Int64Range(1, MaxLimit))
		var next int64
		for {
			limit := limits.Draw(rt, "limit")
			chunk, err := Range(path, next, limit, ended)
			require.NoError(rt, err)
			require.Equal(rt, []int64{int64(len(text)), 0, next, 0}, []int64{chunk.Size, chunk.Start, chunk.From, chunk.Missed})
			require.LessOrEqual(rt, chunk.Next-chunk.From, limit)
			require.Equal(rt, next > 0 && text[next-1] != '\n' && next < chunk.Size, chunk.Inside)
			if chunk.Next == next {
				require.Empty(rt, chunk.Lines)
				break
			}
			require.Equal(rt, text[chunk.Next-1] != '\n', chunk.Open)
			checkLines(rt, text[chunk.From:chunk.Next], chunk.Lines)
			next = chunk.Next
		}
		rest := text[next:]
		require.NotContains(rt, rest, "\n")
		require.LessOrEqual(rt, len(rest), MaxLine)
		if ended {
			require.Empty(rt, rest)
		}
	})
}

// checkLines checks that the lines are those of the text, the long ones in pieces.
func checkLines(t require.TestingT, text string, lines []string) {
	for _, line := range lines {
		end := strings.IndexByte(text, '\n') + 1
		if end == 0 {
			end = len(text)
		}
		if end > MaxLine+1 { // pieces: see FuzzBreak for where
			end = breakAt([]byte(text[:MaxLine]))
		}
		require.Equal(t, Clean([]byte(text[:end])), line)
		text = text[end:]
	}
	require.Empty(t, text)
}
