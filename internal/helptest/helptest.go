// Package helptest reads the help of a command as a person without a terminal does.
package helptest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/cli"
)

// Run is what the main function of a command calls.
type Run func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int

// Pages returns the pages of the help of root and of everything below it, by the words that lead to them, such as "catalog add".
func Pages(t *testing.T, root *cobra.Command, run Run) map[string]string {
	t.Helper()
	pages := map[string]string{}
	Visit(root, func(_ *cobra.Command, path []string) {
		pages[strings.Join(path, " ")] = Page(t, run, path...)
	})
	return pages
}

// Page returns the page of one command.
func Page(t *testing.T, run Run, path ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	require.Equal(t, cli.ExitOK, run(t.Context(), append(path[:len(path):len(path)], "--help"), strings.NewReader(""), &out, &errs), errs.String())
	return out.String()
}

// Visit calls visit with each command from root on, and with the words that lead to it.
func Visit(root *cobra.Command, visit func(c *cobra.Command, path []string)) {
	var descend func(*cobra.Command, []string)
	descend = func(c *cobra.Command, path []string) {
		visit(c, path)
		for _, child := range c.Commands() {
			descend(child, append(path[:len(path):len(path)], child.Name()))
		}
	}
	descend(root, nil)
}

// RequireGood requires that the pages have the columns that every terminal has, and say first what the command is for, then how to call it;
// and that what all commands share, the connection, stands on a page alone. name is that of the whole command.
func RequireGood(t *testing.T, name string, pages map[string]string) {
	t.Helper()
	for path, page := range pages {
		for line := range strings.Lines(page) {
			line = strings.TrimRight(line, "\n")
			require.LessOrEqual(t, utf8.RuneCountInString(line), 80, "%s %s --help: %s", name, path, line)
		}
		paragraphs := strings.Split(page, "\n\n")
		if path == "connection" {
			require.Contains(t, page, "--creds file")
			require.Contains(t, page, "[$NATS_URL]")
			continue
		}
		require.NotContains(t, page, "--creds file", path)
		require.True(t, strings.HasPrefix(paragraphs[1], "Usage:\n  "+name), "%s %s --help:\n%s", name, path, page)
		require.NotRegexp(t, `:$`, paragraphs[0], path)
	}
	require.Contains(t, pages[""], "  connection")
}

// RequireTopic requires that the page of the connection is the same whether it is asked for or called, and is no command's.
func RequireTopic(t *testing.T, run Run) {
	t.Helper()
	var asked, called, errs bytes.Buffer
	require.Equal(t, cli.ExitOK, run(t.Context(), []string{"help", "connection"}, strings.NewReader(""), &asked, &errs))
	require.Equal(t, cli.ExitOK, run(t.Context(), []string{"connection"}, strings.NewReader(""), &called, &errs))
	require.Equal(t, asked.String(), called.String())
	require.Contains(t, asked.String(), "\nNATS:\n")
	require.NotContains(t, asked.String(), "--help")
	require.NotContains(t, asked.String(), "Usage:")
	require.Empty(t, errs.String())
}
