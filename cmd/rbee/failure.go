package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// explain turns a failure into what the user reads and the exit code that a script reads.
func (f *spawnFlags) explain(cmd *cobra.Command, hive string, result messages.Result, err error) error {
	if noHive, ok := errors.AsType[*queen.NoHiveError](err); ok {
		return cli.Exit(cli.ExitNoHive, noHive)
	}
	if _, ok := errors.AsType[*queen.NoAnswerError](err); ok {
		return f.explainSilence(cmd, hive, err)
	}
	failure, ok := errors.AsType[*messages.Error](err)
	if !ok {
		return err
	}
	again := ""
	if failure.Retryable {
		again = "  Ask again, which starts no second worker: " + f.repeat(cmd, hive) + "\n"
	}
	answer := messages.Failure{JobID: result.JobID, HiveID: result.HiveID, Err: failure}
	return tellFailure(cmd, f.output, answer, f.told, again)
}

// tellFailure tells what a hive answered, and returns the error with the exit code that it means. What was told already by the
// narration is not told twice; more stands behind the details.
func tellFailure(cmd *cobra.Command, output *cli.Output, answer messages.Failure, told bool, more string) error {
	failure := answer.Err
	if output.JSON() {
		line, err := answer.Encode()
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
	}
	code := cli.ExitFailure
	switch failure.Code {
	case messages.WorkerNotInstalled, messages.WorkerNotFound, messages.DeviceNotFound:
		code = cli.ExitNotFound
	}
	more = details(failure) + more
	if told { // the line is there; the details follow
		fmt.Fprint(cmd.ErrOrStderr(), cli.Printable(more))
		return cli.Exit(code, nil)
	}
	return cli.Exit(code, errors.New(oneLine(failure.Error())+"\n"+more))
}

// explainSilence says why no answer came and how to ask again.
func (f *spawnFlags) explainSilence(cmd *cobra.Command, hive string, err error) error {
	again := "its worker may run all the same: ask again, which starts no second one: " + f.repeat(cmd, hive)
	switch {
	case cmd.Context().Err() != nil:
		return cli.Exit(cli.ExitInterrupted, fmt.Errorf("interrupted while the hive had the job; %s", again))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s (--timeout); %s", f.timeout, again)
	}
	return err
}

// details returns what is known of a failure besides its message, indented, each line with its end.
func details(e *messages.Error) string {
	var b strings.Builder
	section := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(&b, "  %s:\n", title)
		for _, line := range lines {
			fmt.Fprintf(&b, "    %s\n", oneLine(line))
		}
	}
	if e.OOMKilled {
		b.WriteString("  it was ended because memory ran out\n")
	}
	section("its last output", e.LogTail)
	if len(e.Tried) > 0 && !strings.Contains(e.Message, e.Tried[0]) {
		section("looked at", e.Tried)
	}
	if e.Retryable {
		b.WriteString("  The same job may succeed later.\n")
	}
	return b.String()
}
