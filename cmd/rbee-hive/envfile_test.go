package main

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// variablesOfServe returns the flag of each variable that serve reads, as its help names it.
func variablesOfServe(t *testing.T) map[string]*pflag.Flag {
	t.Helper()
	flags := make(map[string]*pflag.Flag)
	serveCommand("test").Flags().VisitAll(func(flag *pflag.Flag) {
		if match := regexp.MustCompile(`\[\$([A-Z_]+)\]`).FindStringSubmatch(flag.Usage); match != nil {
			flags[match[1]] = flag
		}
	})
	require.Greater(t, len(flags), 30)
	return flags
}

// The file of settings that is deployed has each one that serve reads: those without which no fleet is one are set, and the others
// show their defaults behind a "#".
func TestTheDeployedSettingsAreThoseOfServe(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile(filepath.Join("..", "..", "deploy", "hive.env"))
	require.NoError(t, err)
	require.Contains(t, string(file), "\nNATS_PASSWORD=\n", "no password is shipped")
	flags := variablesOfServe(t)
	var named, set, want []string
	commented := false // the line before is a comment, or is another setting below one
	for lines := bufio.NewScanner(strings.NewReader(string(file))); lines.Scan(); {
		// "#" directly before a name is a setting at its default; "# " begins a comment.
		match := regexp.MustCompile(`^(#?)([A-Z_]+)=(\S*)$`).FindStringSubmatch(lines.Text())
		if match == nil {
			require.Regexp(t, `^(# .*)?$`, lines.Text())
			commented = lines.Text() != ""
			continue
		}
		name, value := match[2], match[3]
		require.True(t, commented, "%s has no comment", name)
		named = append(named, name)
		flag := flags[name]
		require.NotNil(t, flag, "%s is no setting of serve", name)
		if match[1] == "" {
			set = append(set, name)
			continue
		}
		if value != "" && name != "RBEE_CATALOG_DIR" { // which is the unit's
			require.NoError(t, flag.Value.Set(value), name)
			require.Equal(t, flag.DefValue, flag.Value.String(), name)
		}
	}
	for name := range flags {
		want = append(want, name)
	}
	require.ElementsMatch(t, want, named)
	slices.Sort(set)
	require.Equal(t, []string{"NATS_PASSWORD", "NATS_URL", "NATS_USER", "RBEE_HIVE_ID", "RBEE_QUEEN_URL"}, set)
}
