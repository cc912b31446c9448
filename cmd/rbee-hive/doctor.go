package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/doctor"
	"github.com/rbee-keeper/hive/messages"
)

func doctorCommand() *cobra.Command {
	var s settings
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether a hive can do its work here, and what to do where it cannot",
		Long: `doctor examines this machine with the flags and variables of serve: the NATS server and what this user may do there, the
catalog, the directories, limits, devices and ports. Run it where the hive runs or will run, as the hive's user. It changes
nothing, and it may run beside a hive at work.

Each line is ok, a warning (it works, but not as well as it could) or a failure (it does not), and behind the arrow what to
do. The exit code is 1 if anything failed.`,
		Example: `  rbee-hive doctor
  rbee-hive doctor --hive-id gpu-1 --server nats://queen.example:4222 \
    --creds /etc/rbee/gpu-1.creds
  rbee-hive doctor -o json |
    jq -r '.checks[] | select(.status != "ok") | .advice'`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().DurationVar(&timeout, "timeout", doctor.DefaultTimeout, "how long each check may take")
	output := cli.AddOutput(cmd)
	s.addFlags(cmd)
	cli.Elsewhere(cmd, "It takes every other flag and variable of serve, too: 'rbee-hive serve --help'.", "Hive", "Workers", "Development builds", "Log")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.check(); err != nil {
			return err
		}
		if timeout <= 0 {
			return cli.Usagef("--timeout: is %s; use more than 0", timeout)
		}
		report, err := examine(cmd.Context(), s, timeout)
		if err != nil {
			return err
		}
		if output.JSON() {
			err = cli.WriteJSON(cmd.OutOrStdout(), report)
		} else {
			err = printReport(cmd.OutOrStdout(), report)
		}
		if err == nil && report.Failures > 0 {
			err = cli.Exit(cli.ExitFailure, nil)
		}
		return err
	}
	return cmd
}

// examine returns what the doctor finds with these settings.
func examine(ctx context.Context, s settings, timeout time.Duration) (doctor.Report, error) {
	subjects, err := messages.NewSubjects(s.prefix)
	if err != nil {
		return doctor.Report{}, cli.Usagef("--subject-prefix: %w", err)
	}
	report := doctor.Examine(ctx, doctor.Config{
		HiveID: s.hiveID, Subjects: subjects, NATS: s.nats, CatalogDir: s.catalogDir, DevRoot: s.workspace(), RunDir: s.runDir,
		LogDir: s.logDir, WorkDir: s.workDir, Ports: s.ports.PortRange, Build: s.build(), Timeout: timeout,
		Queue: map[consumer.QueueMode]doctor.Queue{
			consumer.QueueOff: doctor.QueueOff, consumer.QueueRequired: doctor.QueueRequired,
		}[s.queue.QueueMode], // else QueueAuto
	})
	return report, context.Cause(ctx)
}

// printReport writes the checks under their areas, one on each line and what to do about it below, and their number.
func printReport(w io.Writer, report doctor.Report) error {
	paint := cli.NewPaint(w)
	colours := map[doctor.Status]func(string) string{
		doctor.OK: paint.Green, doctor.Warning: paint.Yellow, doctor.Failure: paint.Red,
	}
	const indent = len("  warning    ") // what stands on a line beside the name, before the message
	width := 0
	for _, check := range report.Checks {
		width = max(width, len(check.Name))
	}
	area := ""
	for _, check := range report.Checks {
		if check.Area != area {
			area = check.Area
			fmt.Fprintln(w, paint.Bold(area))
		}
		line := cli.Printable(check.Message)
		if check.Advice != "" {
			line += "\n" + strings.Repeat(" ", indent+width) + paint.Cyan("→ "+cli.Printable(check.Advice))
		}
		fmt.Fprintf(w, "  %s  %-*s  %s\n", colours[check.Status](fmt.Sprintf("%-7s", check.Status)), width, check.Name, line)
	}
	_, err := fmt.Fprintf(w, "\nhive %s: %d ok, %s, %s\n", report.HiveID, report.OK, counted(report.Warnings, "warning"), counted(report.Failures, "failure"))
	return err
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
