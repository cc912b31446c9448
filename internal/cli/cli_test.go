package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// program returns a command line with one command, whose work is run.
func program(work func(*cobra.Command) error) (root *cobra.Command, n *int, d *time.Duration) {
	n, d = new(int), new(time.Duration)
	root = &cobra.Command{Use: "prog"}
	cmd := &cobra.Command{Use: "work", Short: "Work", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return work(cmd) }}
	Section(cmd, "Amounts", func(fs *pflag.FlagSet) {
		fs.IntVar(n, "number", 1, "how many `things`")
		fs.DurationVar(d, "delay", time.Second, "how long")
	})
	Variables(cmd.Flags(), map[string]string{"number": "TEST_NUMBER", "delay": "TEST_DELAY"})
	AddOutput(cmd)
	named := &cobra.Command{
		Use: "name THING [OTHER] --flag VALUE", Short: "Name", Args: cobra.RangeArgs(1, 2), RunE: func(*cobra.Command, []string) error { return nil },
	}
	root.AddCommand(cmd, named, VersionCommand(VersionOf("prog", "v1.2.3")))
	return root, n, d
}

func runProgram(ctx context.Context, root *cobra.Command, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Run(ctx, root, args, &bytes.Buffer{}, &out, &err)
	return code, out.String(), err.String()
}

func TestRun(t *testing.T) {
	t.Parallel()
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(ErrInterrupted)
	tests := map[string]struct {
		args    []string
		work    error
		stopped bool
		code    int
		stderr  string
	}{
		"done":                {args: []string{"work"}},
		"failed":              {args: []string{"work"}, work: errors.New("it broke"), code: ExitFailure, stderr: "prog: it broke\n"},
		"a code of its own":   {args: []string{"work"}, work: fmt.Errorf("look: %w", Exit(ExitNotFound, errors.New("it is gone"))), code: ExitNotFound, stderr: "prog: look: it is gone\n"},
		"told already":        {args: []string{"work"}, work: Exit(ExitFailure, nil), code: ExitFailure},
		"wrong by itself":     {args: []string{"work"}, work: Usagef("--number: too many"), code: ExitUsage, stderr: "prog: --number: too many\nRun 'prog work --help' for its flags and examples.\n"},
		"interrupted":         {args: []string{"work"}, work: context.Canceled, stopped: true, code: ExitInterrupted, stderr: "prog: interrupted\n"},
		"cancelled otherwise": {args: []string{"work"}, work: context.Canceled, code: ExitFailure, stderr: "prog: context canceled\n"},
		"unknown flag":        {args: []string{"work", "--nope"}, code: ExitUsage, stderr: "prog: unknown flag: --nope\nRun 'prog work --help' for its flags and examples.\n"},
		"a flag with a slip":  {args: []string{"work", "--nubmer", "2"}, code: ExitUsage, stderr: "prog: unknown flag: --nubmer; did you mean --number?\nRun 'prog work --help' for its flags and examples.\n"},
		"half a flag":         {args: []string{"work", "--del", "2s"}, code: ExitUsage, stderr: "prog: unknown flag: --del; did you mean --delay?\nRun 'prog work --help' for its flags and examples.\n"},
		"one dash":            {args: []string{"work", "-number=2"}, code: ExitUsage, stderr: "prog: unknown shorthand flag: 'n' in -number=2; did you mean --number?\nRun 'prog work --help' for its flags and examples.\n"},
		"no such letter":      {args: []string{"work", "-x"}, code: ExitUsage, stderr: "prog: unknown shorthand flag: 'x' in -x\nRun 'prog work --help' for its flags and examples.\n"},
		"unknown command":     {args: []string{"wrk"}, code: ExitUsage, stderr: "prog: unknown command \"wrk\" for \"prog\"\n\nDid you mean this?\n work\nRun 'prog --help' for its flags and examples.\n"},
		"an argument":         {args: []string{"work", "now"}, code: ExitUsage, stderr: "prog: prog work takes no arguments, but there is \"now\"\nRun 'prog work --help' for its flags and examples.\n"},
		"no argument":         {args: []string{"name"}, code: ExitUsage, stderr: "prog: THING is missing: write prog name THING [OTHER] --flag VALUE\nRun 'prog name --help' for its flags and examples.\n"},
		"all arguments":       {args: []string{"name", "a", "b"}},
		"three arguments":     {args: []string{"name", "a", "b", "c"}, code: ExitUsage, stderr: "prog: too many arguments: write prog name THING [OTHER] --flag VALUE\nRun 'prog name --help' for its flags and examples.\n"},
		"not a number":        {args: []string{"work", "--number", "x"}, code: ExitUsage, stderr: "prog: --number \"x\": want a whole number\nRun 'prog work --help' for its flags and examples.\n"},
		"too large a number":  {args: []string{"work", "--number", "99999999999999999999"}, code: ExitUsage, stderr: "prog: --number \"99999999999999999999\": the number is too large or too small\nRun 'prog work --help' for its flags and examples.\n"},
		"not a duration":      {args: []string{"work", "--delay", "3"}, code: ExitUsage, stderr: "prog: --delay \"3\": want a duration such as 500ms, 30s or 2m\nRun 'prog work --help' for its flags and examples.\n"},
		"not a choice":        {args: []string{"work", "-o", "xml"}, code: ExitUsage, stderr: "prog: --output \"xml\": want text or json\nRun 'prog work --help' for its flags and examples.\n"},
		"control characters":  {args: []string{"work"}, work: errors.New("a\x1b[31mb\x07c"), code: ExitFailure, stderr: "prog: ab c\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, _, _ := program(func(*cobra.Command) error { return test.work })
			ctx := t.Context()
			if test.stopped {
				ctx = interrupted
			}
			code, stdout, stderr := runProgram(ctx, root, test.args...)
			require.Equal(t, test.code, code)
			require.Equal(t, test.stderr, stderr)
			require.Empty(t, stdout)
		})
	}
}

func TestVariablesStandForFlags(t *testing.T) {
	run := func(args ...string) (number int, delay time.Duration, code int, stderr string) {
		root, n, d := program(func(*cobra.Command) error { return nil })
		code, _, stderr = runProgram(t.Context(), root, append([]string{"work"}, args...)...)
		return *n, *d, code, stderr
	}
	t.Setenv("TEST_NUMBER", "5")
	t.Setenv("TEST_DELAY", "")
	n, d, code, stderr := run()
	require.Equal(t, ExitOK, code, stderr)
	require.Equal(t, 5, n)
	require.Equal(t, time.Second, d, "an empty variable is no variable")

	n, _, _, _ = run("--number", "7")
	require.Equal(t, 7, n, "the flag wins")

	t.Setenv("TEST_DELAY", "soon")
	_, _, code, stderr = run()
	require.Equal(t, ExitUsage, code)
	require.Equal(t, "prog: environment variable TEST_DELAY: --delay \"soon\": want a duration such as 500ms, 30s or 2m\n"+
		"Run 'prog work --help' for its flags and examples.\n", stderr)

	_, _, code, _ = run("--delay", "1s")
	require.Equal(t, ExitOK, code, "a variable that is not needed cannot be wrong")
}

func TestHelp(t *testing.T) {
	t.Parallel()
	root, _, _ := program(nil)
	code, stdout, stderr := runProgram(t.Context(), root, "work", "--help")
	require.Equal(t, ExitOK, code)
	require.Empty(t, stderr)
	require.Equal(t, `Work

Usage:
  prog work [flags]

Amounts:
      --number things    how many things [$TEST_NUMBER] (default 1)
      --delay duration   how long [$TEST_DELAY] (default 1s)

Flags:
  -o, --output text|json   print the result as text or as JSON (default text)
  -h, --help               help for work
`, stdout)
}

func TestHelpSaysFirstWhatMattersMost(t *testing.T) {
	t.Parallel()
	shared := func(cmd *cobra.Command) {
		Section(cmd, "Server", func(fs *pflag.FlagSet) { fs.String("server", "", "`URL` of the server") })
	}
	root := &cobra.Command{Use: "prog", Short: "Does things"}
	work := &cobra.Command{
		Use: "work", Short: "Work", Long: "work does a lot of things, one behind the other, until there is nothing\nleft.\n\nThere is more to say:\n\n  here  and here",
		Example: "  prog work", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return nil },
	}
	shared(work)
	Elsewhere(work, "Which server: 'prog help server'.", "Server")
	root.AddCommand(work, Topic("server", "Which server", "The flags of every command.", shared))

	_, stdout, _ := runProgram(t.Context(), root, "work", "--help")
	require.Equal(t, `work does a lot of things, one behind the other, until there is nothing left.

Usage:
  prog work [flags]

Examples:
  prog work

Flags:
  -h, --help   help for work

Which server: 'prog help server'.

Details:
  There is more to say:

    here  and here
`, stdout)
	_, stdout, _ = runProgram(t.Context(), root, "help", "server")
	require.Equal(t, `The flags of every command.

Server:
      --server URL   URL of the server
`, stdout)
	_, stdout, _ = runProgram(t.Context(), root, "--help")
	require.Contains(t, stdout, "\nOther pages of the help:\n  server       Which server\n")
	code, _, stderr := runProgram(t.Context(), root, "work", "--server", "x")
	require.Equal(t, ExitOK, code, stderr)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	root, _, _ := program(nil)
	code, stdout, _ := runProgram(t.Context(), root, "version")
	require.Equal(t, ExitOK, code)
	require.Regexp(t, `^prog v1\.2\.3 \(\w+/\w+, go.*\)\n$`, stdout)

	root, _, _ = program(nil)
	_, stdout, _ = runProgram(t.Context(), root, "version", "-o", "json")
	require.Regexp(t, `^\{"name":"prog","version":"v1\.2\.3",.*"platform":"\w+/\w+"\}\n$`, stdout)
}

func TestUntilInterrupted(t *testing.T) {
	t.Parallel()
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(ErrInterrupted)
	broken := errors.New("broken")
	require.NoError(t, UntilInterrupted(interrupted, context.Canceled))
	require.NoError(t, UntilInterrupted(interrupted, ErrInterrupted))
	require.NoError(t, UntilInterrupted(t.Context(), nil))
	require.ErrorIs(t, UntilInterrupted(interrupted, broken), broken)
	require.ErrorIs(t, UntilInterrupted(t.Context(), context.Canceled), context.Canceled)
}
