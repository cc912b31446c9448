package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// logsFlags is what `rbee workers logs` is told.
type logsFlags struct {
	oneWorker
	lines  int
	from   int64
	follow bool
}

func logsCommand() *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:   "logs WORKER",
		Short: "Print a worker's log, and follow it",
		Long: `logs prints the last lines of a worker's log, or all from a place on, also of a worker that has ended. With -f it goes on
with what the worker writes, until that ends or it is interrupted. It never slows the worker down: what was rotated out before
it could be read is missing, and how much that is is told on stderr. The beginning of the worker's id is enough, if no other's begins with it.

With -o json each part is one line, as it came over the wire; its "next" is what --from takes to go on.`,
		Example: `  rbee workers logs worker-abc123 -f
  rbee workers logs worker-abc123 --hive gpu-1 --from 0 | less`,
		Args: cobra.ExactArgs(1),
	}
	cli.Section(cmd, "Lines", func(fs *pflag.FlagSet) {
		fs.IntVarP(&f.lines, "lines", "n", messages.DefaultTail, "`number` of the last lines to print")
		fs.Int64Var(&f.from, "from", 0, "`place` in bytes to print from, instead of the last lines")
		fs.BoolVarP(&f.follow, "follow", "f", false, "go on with what the worker writes")
	})
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeWorker(findWorkers(&f.hive, true))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		err := f.run(cmd, args[0])
		if f.follow {
			return cli.UntilInterrupted(cmd.Context(), err)
		}
		return err
	}
	return cmd
}

func (f *logsFlags) check(cmd *cobra.Command) error {
	set := cmd.Flags().Changed
	switch {
	case set("from") && set("lines"):
		return cli.Usagef("--from and --lines exclude each other: use one of them")
	case f.from < 0:
		return cli.Usagef("--from: is %d; use 0 for the beginning, or more", f.from)
	case f.lines < 0 || f.lines > messages.MaxTail:
		return cli.Usagef("--lines: is %d; use 0 to %d, or --from 0 for all", f.lines, messages.MaxTail)
	}
	return nil
}

func (f *logsFlags) run(cmd *cobra.Command, named string) error {
	client, at, done, err := f.connect(cmd, named)
	if err != nil {
		return err
	}
	defer done()
	hive, worker := at.hive, at.worker
	next := f.from
	if !cmd.Flags().Changed("from") {
		if next, err = f.tail(cmd, client, hive, worker); err != nil {
			return f.explain(cmd, hive, err)
		}
		if !f.follow {
			return nil
		}
	}
	show := func(part messages.Logs) error { return f.print(cmd, part) }
	if f.follow {
		err = client.Follow(cmd.Context(), hive, worker, next, show)
	} else {
		err = readAll(cmd.Context(), client, hive, worker, next, show)
	}
	if err != nil {
		return f.explain(cmd, hive, err)
	}
	return nil
}

// tail prints the last lines and returns the place behind them.
func (f *logsFlags) tail(cmd *cobra.Command, client *queen.Client, hive, worker string) (next int64, err error) {
	part, err := client.Logs(cmd.Context(), hive, messages.LogsRequest{WorkerID: worker, Tail: max(f.lines, 1)})
	if err != nil {
		return 0, err
	}
	if f.lines == 0 {
		part.Lines, part.From = nil, part.Next
	}
	return part.Next, f.print(cmd, part)
}

// readAll reads what has been written from a place on, and not what is written meanwhile.
func readAll(ctx context.Context, client *queen.Client, hive, worker string, from int64, show func(messages.Logs) error) error {
	for size := int64(-1); ; {
		part, err := client.Logs(ctx, hive, messages.LogsRequest{WorkerID: worker, From: &from})
		if err != nil {
			return err
		}
		if size < 0 {
			size = part.Size
		}
		if err := show(part); err != nil {
			return err
		}
		if part.Next >= size || part.Next <= from {
			return nil
		}
		from = part.Next
	}
}

// print writes a part of a log. A terminal gets nothing that it would obey.
func (f *logsFlags) print(cmd *cobra.Command, part messages.Logs) error {
	if part.Missed > 0 {
		paint := cli.NewPaint(cmd.ErrOrStderr())
		fmt.Fprintln(cmd.ErrOrStderr(), paint.Yellow(fmt.Sprintf("missed %d bytes: they are no longer kept", part.Missed)))
	}
	out := cmd.OutOrStdout()
	if f.output.JSON() {
		line, err := part.Encode()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", line)
		return err
	}
	terminal := cli.IsTerminal(out)
	for _, line := range part.Lines {
		if terminal {
			line = oneLine(line)
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}
