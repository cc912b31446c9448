package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
		since  time.Duration
	)
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Follow what hives tell",
		Long: `watch prints what hives tell about their jobs and workers, as it happens, until it is interrupted. With --since it begins
in the past, as far as narration is kept, and goes over into the present without a gap: that needs the streams of 'rbee streams apply'.

Each line begins with the time, the hive (but with --hive) and the worker or job that it is about (but with --job), whose id is cut to
what tells it from others; in the text of most lines it stands in full.

With -o json each event is one line, as it came over the wire.`,
		Example: `  rbee watch
  rbee watch --hive gpu-1 --action worker_exited
  rbee watch --since 10m
  rbee watch -o json | jq -r 'select(.level == "error") | .human'`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Events", func(fs *pflag.FlagSet) {
		fs.StringVar(&filter.Hive, "hive", "", "only what the hive with this `id` tells")
		fs.StringVar(&filter.Job, "job", "", "only what belongs to the job with this `id`")
		fs.StringVar(&filter.Action, "action", "", "only this `action`, like worker_spawned")
		fs.DurationVar(&since, "since", 0, "begin with what was told this long ago")
	})
	output := cli.AddOutput(cmd)
	f.addFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("job", f.complete(findJobs(&filter.Hive)))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if since < 0 {
			return cli.Usagef("--since: is %s; use more than 0", since)
		}
		return cli.UntilInterrupted(cmd.Context(), f.watch(cmd, filter, since, output.JSON()))
	}
	return cmd
}

// narration is what is watched: what is told from now on, or from a moment in the past on.
type narration interface {
	Events(context.Context) iter.Seq2[messages.Event, error]
	Close()
}

// narrate begins to watch.
func narrate(ctx context.Context, client *queen.Client, filter queen.Filter, since time.Duration) (narration, error) {
	if since > 0 {
		return client.History(ctx, filter, time.Now().Add(-since))
	}
	return client.Watch(ctx, filter)
}

// watch prints events until ctx ends.
func (f *fleet) watch(cmd *cobra.Command, filter queen.Filter, since time.Duration, asJSON bool) error {
	client, subjects, done, err := f.client(cmd)
	if err != nil {
		return err
	}
	defer done()
	told, err := narrate(cmd.Context(), client, filter, since)
	if err != nil {
		if errors.Is(err, messages.InvalidJob) {
			return cli.Exit(cli.ExitUsage, errors.New(messages.AsError(err).Message))
		}
		return err
	}
	defer told.Close()
	paint := cli.NewPaint(cmd.ErrOrStderr())
	fmt.Fprintln(cmd.ErrOrStderr(), paint.Dim("watching "+subjects.Narration(filter.Hive, filter.Job, messages.Action(filter.Action))+" (Ctrl-C ends it)"))

	out := newNarrator(cmd.OutOrStdout(), &lead{clock: true, hive: filter.Hive == "", about: filter.Job == ""})
	for event, err := range told.Events(cmd.Context()) {
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
