package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func watchCommand() *cobra.Command {
	var (
		f      fleet
		filter queen.Filter
	)
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Follow what hives tell",
		Long: `watch prints what hives tell about their jobs and workers, as it happens, until it is interrupted.

With -o json each event is one line, as it came over the wire.`,
		Example: `  rbee watch
  rbee watch --hive gpu-1 --action worker_exited
  rbee watch -o json | jq -r 'select(.level == "error") | .human'`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Events", func(fs *pflag.FlagSet) {
		fs.StringVar(&filter.Hive, "hive", "", "only what the hive with this `id` tells")
		fs.StringVar(&filter.Job, "job", "", "only what belongs to the job with this `id`")
		fs.StringVar(&filter.Action, "action", "", "only this `action`, like worker_spawned")
	})
	output := cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return cli.UntilInterrupted(cmd.Context(), f.watch(cmd, filter, output.JSON()))
	}
	return cmd
}

// watch prints events until ctx ends.
func (f *fleet) watch(cmd *cobra.Command, filter queen.Filter, asJSON bool) error {
	client, subjects, done, err := f.client(cmd)
	if err != nil {
		return err
	}
	defer done()
	narration, err := client.Watch(cmd.Context(), filter)
	if err != nil {
		if errors.Is(err, messages.InvalidJob) {
			return cli.Exit(cli.ExitUsage, errors.New(messages.AsError(err).Message))
		}
		return err
	}
	defer narration.Close()
	paint := cli.NewPaint(cmd.ErrOrStderr())
	fmt.Fprintln(cmd.ErrOrStderr(), paint.Dim("watching "+subjects.Narration(filter.Hive, filter.Job, messages.Action(filter.Action))+" (Ctrl-C ends it)"))

	out := newNarrator(cmd.OutOrStdout(), nil)
	out.before = func(e messages.Event) string {
		return out.paint.Dim(e.Time.Local().Format(time.TimeOnly)+" "+cli.Printable(e.HiveID)) + " "
	}
	for event, err := range narration.Events(cmd.Context()) {
		switch {
		case err != nil:
			if _, gap := errors.AsType[*queen.GapError](err); !gap {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), paint.Yellow(err.Error()))
		case asJSON:
			line, err := event.Encode()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
		default:
			out.tell(event)
		}
	}
	return cmd.Context().Err()
}
