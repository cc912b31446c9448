package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Expand returns text with every ${name} and %{name} replaced by the value of that name. What a value contains is never
// looked at again. The two forms mean the same: where somebody else replaces the first, as in a manifest, the second is left.
// A doubled mark, $${ or %%{, stands for the mark itself. Any other use of the marks, such as ${PATH}, is an error that
// lists the names there are.
func Expand(text string, values map[string]string) (string, error) {
	var out strings.Builder
	for {
		at := nextMark(text)
		if at < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		mark := text[at : at+2]
		if at > 0 && text[at-1] == mark[0] { // doubled
			out.WriteString(text[:at-1] + mark)
			text = text[at+2:]
			continue
		}
		out.WriteString(text[:at])
		name, rest, closed := strings.Cut(text[at+2:], "}")
		if !closed {
			return "", fmt.Errorf("%q has no }: close it, or write %c%s for the mark itself", mark+name, mark[0], mark)
		}
		value, known := values[name]
		if !known {
			return "", fmt.Errorf("%s%s} is not known: use %s, or write %c%s for the mark itself", mark, name, names(values), mark[0], mark)
		}
		out.WriteString(value)
		text = rest
	}
}

// nextMark returns where the first mark begins, or -1.
func nextMark(text string) int {
	dollar, percent := strings.Index(text, "${"), strings.Index(text, "%{")
	if dollar < 0 || percent < 0 {
		return max(dollar, percent)
	}
	return min(dollar, percent)
}

func names(values map[string]string) string {
	all := slices.Sorted(maps.Keys(values))
	for i, name := range all {
		all[i] = "${" + name + "}"
	}
	return strings.Join(all, ", ")
}
