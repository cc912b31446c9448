package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/helptest"
)

func TestHelpFitsAndLeads(t *testing.T) {
	t.Setenv("HOME", "/root") // which is in defaults
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("PATH", "/bin")
	pages := helptest.Pages(t, rootCommand(newLastWords()), run)
	require.Greater(t, len(pages), 25)
	helptest.RequireGood(t, "rbee", pages)
	require.Contains(t, pages["workers logs"], "-f, --follow")
	require.Contains(t, pages["spawn"], "'rbee help connection'")
}

// Nothing is left out of a page but what the page of the connection has.
func TestHelpListsEveryFlag(t *testing.T) {
	t.Parallel()
	shared := connectionTopic().Flags()
	helptest.Visit(rootCommand(newLastWords()), func(c *cobra.Command, path []string) {
		text := helptest.Page(t, run, path...)
		c.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if !flag.Hidden && shared.Lookup(flag.Name) == nil {
				require.Contains(t, text, "--"+flag.Name+" ", "rbee %s", strings.Join(path, " "))
			}
		})
	})
}

func TestHelpOfATopic(t *testing.T) {
	t.Parallel()
	helptest.RequireTopic(t, run)
}
