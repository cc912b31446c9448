package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/queen"
)

func streamsCommand() *cobra.Command {
	cmd := streamsListCommand("streams")
	cmd.Short = "Show and make the streams that keep queued jobs, results and narration"
	cmd.AddCommand(streamsApplyCommand(), streamsListCommand("ls"))
	return cmd
}

// applyFlags is what `rbee streams apply` is told.
type applyFlags struct {
	fleet
	replicas      int
	dryRun, force bool
	output        *cli.Output
}

func streamsApplyCommand() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Make the streams what this version needs",
		Long: `apply creates the streams that are missing and changes what differs, and shows each change. Running it again does nothing. It
never deletes a stream, and it keeps less than now (a shorter time, fewer copies) only with --force: without, it changes nothing at
all then and the exit code is 1. Its user must be allowed to make streams: in deploy/nats-server.conf that is admin.`,
		Example: `  rbee streams apply
  rbee streams apply --replicas 3 --dry-run`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Streams", func(fs *pflag.FlagSet) {
		fs.IntVar(&f.replicas, "replicas", 1, "`number` of servers that keep each stream: 1, 3 or 5")
		fs.BoolVar(&f.dryRun, "dry-run", false, "show what would be done, and do nothing")
		fs.BoolVar(&f.force, "force", false, "also keep less than now")
	})
	f.output = cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd) }
	return cmd
}

func (f *applyFlags) run(cmd *cobra.Command) error {
	if !slices.Contains([]int{1, 3, 5}, f.replicas) {
		return cli.Usagef("--replicas: is %d; use 1, 3 or 5", f.replicas)
	}
	client, _, done, err := f.client(cmd)
	if err != nil {
		return err
	}
	defer done()
	cfg := queen.StreamsConfig{Replicas: f.replicas}
	var plan []queen.StreamChange
	if f.dryRun {
		plan, err = client.Plan(cmd.Context(), cfg)
	} else {
		plan, err = client.Apply(cmd.Context(), cfg, f.force)
	}
	_, narrow := errors.AsType[*queen.NarrowError](err)
	if err != nil && !narrow {
		return err
	}
	if showErr := f.show(cmd, plan, err == nil && !f.dryRun); showErr != nil {
		return showErr
	}
	return err
}

// show prints the plan.
func (f *applyFlags) show(cmd *cobra.Command, plan []queen.StreamChange, done bool) error {
	w := cmd.OutOrStdout()
	if f.output.JSON() {
		return cli.WriteJSON(w, struct {
			Applied bool                 `json:"applied"`
			Streams []queen.StreamChange `json:"streams"`
		}{done, plan})
	}
	paint, width := cli.NewPaint(w), 0
	for _, change := range plan {
		width = max(width, len(change.Stream))
	}
	for _, change := range plan {
		name := fmt.Sprintf("%-*s", width, change.Stream)
		switch {
		case change.Missing && done:
			fmt.Fprintf(w, "%s  %s\n", name, paint.Green("created"))
		case change.Missing:
			fmt.Fprintf(w, "%s  %s\n", name, paint.Yellow("missing: would be created"))
		case !change.Changes():
			fmt.Fprintf(w, "%s  as it should be\n", name)
		case done:
			fmt.Fprintf(w, "%s  %s\n", name, paint.Green("changed"))
		default:
			fmt.Fprintf(w, "%s  %s\n", name, paint.Yellow("would be changed"))
		}
		for _, field := range change.Fields {
			note := ""
			switch {
			case field.Fixed:
				note = "  (left as it is: no server changes this in a stream that it has)"
			case field.Narrows:
				note = paint.Yellow("  (keeps less than now)")
			}
			fmt.Fprintf(w, "  %s%s\n", field, note)
		}
	}
	return nil
}

func streamsListCommand(name string) *cobra.Command {
	var f fleet
	cmd := &cobra.Command{
		Use:   name,
		Short: "Show what each stream holds",
		Long: `It shows the streams of the fleet and what they hold. A fleet that queues jobs needs four, on a NATS server with JetStream: the
work queue, the results, the narration, and what is known of jobs that came to no result. 'rbee streams apply' makes them; without
them hives serve requests alone. If one is missing, the exit code is 3.`,
		Args: cobra.NoArgs,
	}
	output := cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, _, done, err := f.client(cmd)
		if err != nil {
			return err
		}
		defer done()
		states, err := client.StreamStates(cmd.Context())
		if err != nil {
			return err
		}
		missing := 0
		rows := [][]string{{"STREAM", "MESSAGES", "SIZE", "OLDEST", "CONSUMERS", "REPLICAS"}}
		for _, s := range states {
			if s.Missing {
				missing++
				rows = append(rows, []string{s.Stream, "missing", "-", "-", "-", "-"})
				continue
			}
			rows = append(rows, []string{
				s.Stream, strconv.FormatUint(s.Messages, 10), orDash(size(int64(s.Bytes))), age(s.Oldest), strconv.Itoa(s.Consumers), strconv.Itoa(s.Replicas),
			})
		}
		if output.JSON() {
			err = cli.WriteJSON(cmd.OutOrStdout(), struct {
				Streams []queen.StreamState `json:"streams"`
			}{states})
		} else {
			err = cli.Table(cmd.OutOrStdout(), rows...)
		}
		if err == nil && missing > 0 {
			err = cli.Exit(cli.ExitNotFound, fmt.Errorf("%d of %d streams are missing: make them with `rbee streams apply`", missing, len(states)))
		}
		return err
	}
	return cmd
}

// age writes how long ago something was.
func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	since := time.Since(t).Truncate(time.Second)
	if days := since / (24 * time.Hour); days > 1 {
		return fmt.Sprintf("%dd%dh ago", days, since%(24*time.Hour)/time.Hour)
	}
	return since.String() + " ago"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
