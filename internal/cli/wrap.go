package cli

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// gap is what stands between a word and its explanation in a line of a list, its indentation included.
var gap = regexp.MustCompile(`^\s*\S+(?: \S+)*  +`)

// Wrap sets text anew in lines of at most width columns. Paragraphs are divided by empty lines. A line that is indented stays a line
// of its own: if it is too long and there is a gap in it, what stands behind the gap goes on below itself; else it is left alone, as
// what can be typed is. A word that is longer than a line is not broken.
func Wrap(text string, width int) string {
	var lines, words []string
	flush := func() {
		lines, words = append(lines, fold(words, "", "", width)...), nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "":
			flush()
			lines = append(lines, "")
		case line[0] == ' ' || line[0] == '\t':
			flush()
			lines = append(lines, hang(line, width)...)
		default:
			words = append(words, strings.Fields(line)...)
		}
	}
	flush()
	return strings.Join(lines, "\n")
}

// hang breaks a line of a list below its explanation.
func hang(line string, width int) []string {
	head := gap.FindString(line)
	if utf8.RuneCountInString(line) <= width || head == "" || head == line {
		return []string{line}
	}
	return fold(strings.Fields(line[len(head):]), head, strings.Repeat(" ", utf8.RuneCountInString(head)), width)
}

// fold returns words in lines, the first of which begins with first and the others with next.
func fold(words []string, first, next string, width int) []string {
	var lines []string
	line, empty := first, true
	for _, word := range words {
		switch {
		case empty:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = next + word
		default:
			line += " " + word
		}
		empty = false
	}
	if empty {
		return lines
	}
	return append(lines, line)
}

// indent puts two spaces before each line that is not empty.
func indent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "\n")
}
