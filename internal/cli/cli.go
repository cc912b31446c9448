// Package cli is the manners that our commands share at the command line.
//
// Output: what was asked for goes to stdout, as text or as JSON (-o json), and nothing else does. Progress, logs and errors
// go to stderr. An error is one line that says what to do next. Colours are used on a terminal alone, and not when NO_COLOR
// is set. Settings are flags, each with an environment variable that stands for it where it is not given.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes of our commands.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2   // the command line or an environment variable is wrong; nothing was done
	ExitNotFound    = 3   // a worker, device or hive that was named is not there
	ExitNoHive      = 4   // no hive answered
	ExitInterrupted = 130 // a signal ended the command before it was done
)

// ExitError is an error with the code that the process exits with.
type ExitError struct {
	// Code is the exit code.
	Code int
	// Err is what went wrong; nil if the user has been told.
	Err error
}

// Error returns the text of Err.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// Exit returns err with an exit code.
func Exit(code int, err error) error { return &ExitError{Code: code, Err: err} }

// Usagef returns an error about the command line: exit code [ExitUsage], and a hint at --help.
func Usagef(format string, args ...any) error {
	return Exit(ExitUsage, fmt.Errorf(format, args...))
}

// ExitCode returns the exit code that err means.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if exit, ok := errors.AsType[*ExitError](err); ok {
		return exit.Code
	}
	if errors.Is(err, ErrInterrupted) {
		return ExitInterrupted
	}
	return ExitFailure
}

// Run runs the command that args name below root and returns its exit code. It reads the environment for flags that were
// not given, tells an error on stderr, and takes an error that comes before the command's own work as one of usage.
func Run(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetHelpFunc(help)
	root.SetHelpCommand(helpCommand())
	root.SetUsageFunc(usage)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
			return unknownFlag(cmd.Flags(), unknown)
		}
		return flagError(err)
	})

	started := false
	prepare(root, func() { started = true })
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), ErrInterrupted) {
		err = ErrInterrupted
	}
	if !started {
		err = Exit(ExitUsage, err)
	}
	tell(stderr, root.Name(), command, err)
	return ExitCode(err)
}

// prepare makes each command below c read the environment before its work and report that the work began.
func prepare(c *cobra.Command, began func()) {
	for _, child := range c.Commands() {
		prepare(child, began)
	}
	group(c)
	arguments(c)
	run := c.RunE
	if run == nil {
		return
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fromEnvironment(cmd.Flags()); err != nil {
			return err
		}
		began()
		return run(cmd, args)
	}
}

// tell writes an error for a person, with a hint at the help if the command line was wrong.
func tell(stderr io.Writer, program string, command *cobra.Command, err error) {
	exit, ok := errors.AsType[*ExitError](err)
	if ok && exit.Err == nil {
		return
	}
	paint := NewPaint(stderr)
	fmt.Fprintln(stderr, paint.Red(program+":"), strings.TrimRight(Printable(err.Error()), "\n"))
	if ok && exit.Code == ExitUsage {
		fmt.Fprintf(stderr, "Run '%s --help' for its flags and examples.\n", command.CommandPath())
	}
}
