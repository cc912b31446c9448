package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func hivesCommand() *cobra.Command {
	cmd := hivesListCommand("hives")
	cmd.Short = "List the hives that answer, ask one how it is, and pause it"
	cmd.AddCommand(hivesListCommand("ls"), hiveStatusCommand(), pauseCommand(), resumeCommand())
	return cmd
}

func hivesListCommand(name string) *cobra.Command {
	var f fleet
	cmd := &cobra.Command{
		Use:   name,
		Short: "List the hives that answer",
		Long: `It asks which hives there are and lists those that answer within a second, with the devices that their machines had when they
started; 'rbee hives status' asks one hive for what is there now. If none answers, the exit code is 4. Where two machines answer to one
id, it says so on stderr: they share its jobs.`,
		Example: `  rbee hives
  rbee hives -o json | jq -r '.hives[].hive_id'
  rbee hives -o json |
    jq -r '.hives[] | select(any(.devices[]?; .kind == "cuda")) | .hive_id'`,
		Args: cobra.NoArgs,
	}
	output := cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, subjects, done, err := f.client(cmd)
		if err != nil {
			return err
		}
		defer done()
		hives, err := client.Hives(cmd.Context())
		switch {
		case err != nil:
			return err
		case len(hives) == 0:
			return f.noHive(subjects)
		}
		warnOfSharedIDs(cmd.ErrOrStderr(), hives)
		if output.JSON() {
			return cli.WriteJSON(cmd.OutOrStdout(), struct {
				Hives []queen.Hive `json:"hives"`
			}{hives})
		}
		rows := [][]string{{"HIVE", "PLATFORM", "VERSION", "RTT", "DEVICES"}}
		for _, hive := range hives {
			rows = append(rows, []string{
				hive.ID, cli.Printable(cmp.Or(hive.Platform, "-")), cli.Printable(cmp.Or(hive.Version, "-")),
				hive.RTT.Round(10 * time.Microsecond).String(), deviceSummary(hive.Devices),
			})
		}
		return cli.Table(cmd.OutOrStdout(), rows...)
	}
	return cmd
}

func hiveStatusCommand() *cobra.Command {
	var f fleet
	cmd := &cobra.Command{
		Use:     "status HIVE",
		Short:   "Ask a hive how it is",
		Long:    "status asks a hive for its version, its devices, and what it has to do, and the NATS server for its queued jobs and whether they are\npaused. If there is no such hive, the exit code is 4.",
		Example: `  rbee hives status gpu-1`,
		Args:    cobra.ExactArgs(1),
	}
	output := cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeArgs(1, findHives)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := messages.CheckID(args[0]); err != nil {
			return cli.Usagef("hive id: %w", err)
		}
		client, _, done, err := f.client(cmd)
		if err != nil {
			return err
		}
		defer done()
		info, err := client.Status(cmd.Context(), args[0])
		if err != nil {
			return explainQuestion(args[0], err)
		}
		queued := queueOf(cmd.Context(), client, info)
		if output.JSON() {
			return cli.WriteJSON(cmd.OutOrStdout(), struct {
				messages.HiveInfo
				Queued *queen.HiveQueue `json:"queued,omitempty"`
			}{info, queued})
		}
		rows := [][]string{
			{"hive", cli.Printable(info.HiveID)},
			{"version", cli.Printable(info.Version) + " (" + cli.Printable(info.Platform) + ")"},
		}
		rows = append(append(rows, deviceRows(info)...),
			[]string{"workers", strconv.Itoa(info.Workers)},
			[]string{"jobs", fmt.Sprintf("%d at work, %d waiting", info.JobsRunning, info.JobsWaiting)},
			[]string{"queue", oneLine(cmp.Or(info.Queue, "-")) + describeQueue(queued)},
			[]string{"started", info.StartedAt.Format(time.RFC3339)},
		)
		return cli.Table(cmd.OutOrStdout(), rows...)
	}
	return cmd
}

// queueOf returns how far a hive is with its queued jobs; nil if it takes none, or the server does not say.
func queueOf(ctx context.Context, client *queen.Client, info messages.HiveInfo) *queen.HiveQueue {
	if info.Queue == "" {
		return nil
	}
	queued, err := client.HiveQueue(ctx, info.HiveID)
	if err != nil { // what the hive says is the answer; this is help
		return nil
	}
	return &queued
}

// describeQueue says in words how far a hive is with its queued jobs.
func describeQueue(q *queen.HiveQueue) string {
	if q == nil {
		return ""
	}
	text := fmt.Sprintf(": %d waiting, %d in hand", q.Waiting, q.InHand)
	switch left := time.Until(q.PausedUntil); {
	case left > 365*24*time.Hour:
		text += "; paused until it is resumed"
	case left > 0:
		text += "; paused until " + q.PausedUntil.Local().Format(time.RFC3339)
	}
	return text
}
