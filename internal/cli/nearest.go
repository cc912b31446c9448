package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// unknownFlag adds to the error about a flag that there is not those that may be meant.
func unknownFlag(flags *pflag.FlagSet, err *pflag.NotExistError) error {
	name := err.GetSpecifiedName()
	if short := err.GetSpecifiedShortnames(); short != "" {
		name, _, _ = strings.Cut(short, "=")
		if len(name) < 2 {
			return err // nothing is near to one letter
		}
	}
	near := nearest(flags, name)
	if len(near) == 0 {
		return err
	}
	return fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
}

// nearest returns the flags that are written like a word, or else those that begin with it.
func nearest(flags *pflag.FlagSet, word string) []string {
	const leastBegun = 3
	var near, begun []string
	least := 1 + len(word)/6
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		if len(word) >= leastBegun && strings.HasPrefix(flag.Name, word) {
			begun = append(begun, "--"+flag.Name)
		}
		switch d := distance(word, flag.Name); {
		case d < least:
			near, least = []string{"--" + flag.Name}, d
		case d == least:
			near = append(near, "--"+flag.Name)
		}
	})
	if len(near) > 0 {
		return near
	}
	return begun
}

// distance returns how many letters must be put in, left out, replaced or swapped with their neighbour to make a of b (optimal string
// alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
		for j := 1; j <= len(b); j++ {
			if i == 0 {
				rows[i][j] = j
				continue
			}
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
