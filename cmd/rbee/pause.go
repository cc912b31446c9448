package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// pauseFlags is what `rbee hives pause` and `resume` are told.
type pauseFlags struct {
	fleet
	span   time.Duration // 0: until it is resumed
	output *cli.Output
}

func pauseCommand() *cobra.Command {
	var f pauseFlags
	cmd := &cobra.Command{
		Use:   "pause HIVE",
		Short: "Hand a hive no more queued jobs",
		Long: `pause tells the NATS server to hand a hive no more queued jobs. They wait, and none is lost. What the hive has in hand it finishes, and
requests (spawn without --queue) it still answers. The hive itself is not asked: it may be away. One that never took a queued job is
given its place in the queue, and takes none when it comes until it is resumed.`,
		Example: `  rbee hives pause gpu-1 --for 1h
  rbee hives resume gpu-1`,
		Args: cobra.ExactArgs(1),
	}
	cli.Section(cmd, "Pause", func(fs *pflag.FlagSet) {
		fs.DurationVar(&f.span, "for", 0, "how long (default until it is resumed)")
	})
	f.output = cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeArgs(1, findHives)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.span < 0 {
			return cli.Usagef("--for: is %s; use more than 0", f.span)
		}
		return f.run(cmd, args[0], true)
	}
	return cmd
}

func resumeCommand() *cobra.Command {
	var f pauseFlags
	cmd := &cobra.Command{
		Use:   "resume HIVE",
		Short: "Hand a hive queued jobs again",
		Long: `resume ends a pause: the NATS server hands the hive what waited meanwhile, within some seconds. If the hive is not paused, it
does nothing.`,
		Example: `  rbee hives resume gpu-1`,
		Args:    cobra.ExactArgs(1),
	}
	f.output = cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeArgs(1, findHives)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], false) }
	return cmd
}

// queueError returns why nothing is known of a hive's place in the queue.
func queueError(ctx context.Context, client *queen.Client, hive string) error {
	_, err := client.HiveQueue(ctx, hive)
	return err
}

func (f *pauseFlags) run(cmd *cobra.Command, hive string, pause bool) error {
	if err := messages.CheckID(hive); err != nil {
		return cli.Usagef("hive id: %w", err)
	}
	client, _, done, err := f.client(cmd)
	if err != nil {
		return err
	}
	defer done()
	var until time.Time
	if pause {
		_, unknown := errors.AsType[*queen.NoQueueError](queueError(cmd.Context(), client, hive))
		if until, err = client.Pause(cmd.Context(), hive, f.span); err == nil && unknown {
			fmt.Fprintln(cmd.ErrOrStderr(), cli.NewPaint(cmd.ErrOrStderr()).Yellow(neverTook(hive)))
		}
	} else {
		err = client.Resume(cmd.Context(), hive)
	}
	if _, none := errors.AsType[*queen.NoQueueError](err); none {
		return cli.Exit(cli.ExitNotFound, err)
	}
	if err != nil {
		return err
	}
	if f.output.JSON() {
		return cli.WriteJSON(cmd.OutOrStdout(), struct {
			HiveID string    `json:"hive_id"`
			Paused bool      `json:"paused"`
			Until  time.Time `json:"paused_until,omitzero"`
		}{hive, pause, until})
	}
	text := "hive " + hive + " is handed queued jobs"
	switch {
	case pause && f.span == 0:
		text = "hive " + hive + " is handed no queued jobs until `rbee hives resume " + hive + "`"
	case pause:
		text = "hive " + hive + " is handed no queued jobs until " + until.Local().Format(time.RFC3339)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
