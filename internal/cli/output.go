package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
)

// Choice is a flag that takes one of a few words. The first is the default.
type Choice struct {
	words []string
	set   string
}

// NewChoice returns a flag that takes one of words.
func NewChoice(words ...string) *Choice { return &Choice{words: words} }

// String returns the word that was chosen.
func (c *Choice) String() string {
	if c.set == "" && len(c.words) > 0 {
		return c.words[0]
	}
	return c.set
}

// Set takes a word or returns an error that lists them.
func (c *Choice) Set(word string) error {
	if slices.Contains(c.words, word) {
		c.set = word
		return nil
	}
	last := len(c.words) - 1
	return fmt.Errorf("want %s or %s", strings.Join(c.words[:last], ", "), c.words[last])
}

// Type returns what --help shows for the value.
func (c *Choice) Type() string { return strings.Join(c.words, "|") }

// Output is the flag -o that chooses between text for people and JSON for programs.
type Output struct{ choice *Choice }

// AddOutput adds the flag -o to a command.
func AddOutput(cmd *cobra.Command) *Output {
	o := &Output{choice: NewChoice("text", "json")}
	cmd.Flags().VarP(o.choice, "output", "o", "print the result as text or as JSON")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(o.choice.words, cobra.ShellCompDirectiveNoFileComp))
	return o
}

// JSON reports whether JSON was asked for.
func (o *Output) JSON() bool { return o.choice.String() == "json" }

// WriteJSON writes v as one line of JSON, with the characters of HTML as they are.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Table writes rows with their columns in line. The first row is the head.
func Table(w io.Writer, rows ...[]string) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tab, strings.Join(row, "\t"))
	}
	return tab.Flush()
}

// escape matches what programs send to terminals for colours and titles (ECMA-48, sections 5.4 and 5.6).
var escape = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)`)

// Printable takes out of text from elsewhere what a terminal would obey: escape sequences go, other control characters
// become a space, except the end of a line, and what would turn the direction of writing is replaced.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, escape.ReplaceAllString(text, ""))
}
