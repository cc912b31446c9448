package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Expand returns text with every ${name} replaced by the value of that name. What a value contains is never looked at again.
// $${ stands for ${ itself, and any other $ for itself: the same rules as in a manifest, so that what a hive leaves of
// $${model} is ${model} here. Any other use of the mark, such as ${PATH}, is an error that lists the names there are.
func Expand(text string, values map[string]string) (string, error) {
	const mark = "${"
	var out strings.Builder
	for {
		at := strings.Index(text, mark)
		if at < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if at > 0 && text[at-1] == '$' { // doubled
			out.WriteString(text[:at-1] + mark)
			text = text[at+len(mark):]
			continue
		}
		out.WriteString(text[:at])
		name, rest, closed := strings.Cut(text[at+len(mark):], "}")
		if !closed {
			return "", fmt.Errorf("%q has no }: close it, or write $${ for ${ itself", mark+name)
		}
		value, known := values[name]
		if !known {
			return "", fmt.Errorf("${%s} is not known: use %s, or write $${ for ${ itself", name, names(values))
		}
		out.WriteString(value)
		text = rest
	}
}

func names(values map[string]string) string {
	all := slices.Sorted(maps.Keys(values))
	for i, name := range all {
		all[i] = "${" + name + "}"
	}
	return strings.Join(all, ", ")
}
