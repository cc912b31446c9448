package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/cli"
)

// Where there is no terminal, a page of the help has the columns that every terminal has. It says first what the command is for, then
// how to call it. What all commands share stands on one page alone.
func TestHelpFitsAndLeads(t *testing.T) {
	t.Setenv("HOME", "/root") // which is in defaults
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
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
	visit(rootCommand(), nil)
	require.Greater(t, len(pages), 12)
	for name, page := range pages {
		for line := range strings.Lines(page) {
			line = strings.TrimRight(line, "\n")
			require.LessOrEqual(t, utf8.RuneCountInString(line), 80, "rbee-hive %s --help: %s", name, line)
		}
		paragraphs := strings.Split(page, "\n\n")
		if name == "connection" {
			require.Contains(t, page, "--creds file")
			require.Contains(t, page, "[$NATS_URL]")
			continue
		}
		require.NotContains(t, page, "--creds file", name)
		require.True(t, strings.HasPrefix(paragraphs[1], "Usage:\n  rbee-hive"), "rbee-hive %s --help:\n%s", name, page)
		require.NotRegexp(t, `:$`, paragraphs[0], name)
	}
	require.Contains(t, pages["serve"], "'rbee-hive help connection'")
	require.Contains(t, pages[""], "  connection")
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
