package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/cli"
)

// Where there is no terminal, a page of the help has the columns that every terminal has. It says first what the command is for, then
// how to call it. What all commands share stands on one page alone.
func TestHelpFitsAndLeads(t *testing.T) {
	t.Setenv("HOME", "/root") // which is in defaults
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("PATH", "/bin")
	pages := map[string]string{}
	var visit func(*cobra.Command, []string)
	visit = func(c *cobra.Command, path []string) {
		var out, errs bytes.Buffer
		require.Equal(t, cli.ExitOK, run(t.Context(), append(path, "--help"), strings.NewReader(""), &out, &errs), errs.String())
		pages[strings.Join(path, " ")] = out.String()
		for _, child := range c.Commands() {
			visit(child, append(path[:len(path):len(path)], child.Name()))
		}
	}
	visit(rootCommand(newLastWords()), nil)
	require.Greater(t, len(pages), 25)
	for name, page := range pages {
		for line := range strings.Lines(page) {
			line = strings.TrimRight(line, "\n")
			require.LessOrEqual(t, utf8.RuneCountInString(line), 80, "rbee %s --help: %s", name, line)
		}
		paragraphs := strings.Split(page, "\n\n")
		if name == "connection" {
			require.Contains(t, page, "--creds file")
			require.Contains(t, page, "[$NATS_URL]")
			continue
		}
		require.NotContains(t, page, "--creds file", name)
		require.True(t, strings.HasPrefix(paragraphs[1], "Usage:\n  rbee"), "rbee %s --help:\n%s", name, page)
		require.NotRegexp(t, `:$`, paragraphs[0], name)
	}
	require.Contains(t, pages["workers logs"], "-f, --follow")
	require.Contains(t, pages["spawn"], "'rbee help connection'")
	require.Contains(t, pages[""], "  connection")
}

// Nothing is left out of a page but what the page of the connection has.
func TestHelpListsEveryFlag(t *testing.T) {
	t.Parallel()
	page := func(path ...string) string {
		var out, errs bytes.Buffer
		require.Equal(t, cli.ExitOK, run(t.Context(), append(path, "--help"), strings.NewReader(""), &out, &errs), errs.String())
		return out.String()
	}
	shared := connectionTopic().Flags()
	var visit func(*cobra.Command, []string)
	visit = func(c *cobra.Command, path []string) {
		text := page(path...)
		c.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if !flag.Hidden && shared.Lookup(flag.Name) == nil {
				require.Contains(t, text, "--"+flag.Name+" ", "rbee %s", strings.Join(path, " "))
			}
		})
		for _, child := range c.Commands() {
			visit(child, append(path[:len(path):len(path)], child.Name()))
		}
	}
	visit(rootCommand(newLastWords()), nil)
}

func TestHelpOfATopic(t *testing.T) {
	t.Parallel()
	var asked, called, errs bytes.Buffer
	require.Equal(t, cli.ExitOK, run(t.Context(), []string{"help", "connection"}, strings.NewReader(""), &asked, &errs))
	require.Equal(t, cli.ExitOK, run(t.Context(), []string{"connection"}, strings.NewReader(""), &called, &errs))
	require.Equal(t, asked.String(), called.String())
	require.Contains(t, asked.String(), "\nNATS:\n")
	require.NotContains(t, asked.String(), "--help")
	require.NotContains(t, asked.String(), "Usage:")
	require.Empty(t, errs.String())
}
