package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/queen"
)

func jobsCancelCommand() *cobra.Command {
	var f oneJob
	cmd := &cobra.Command{
		Use:   "cancel JOB",
		Short: "Take a waiting job out of the queue",
		Long: `cancel takes a job out of the queue that its hive has not been given: it never runs. A job that its hive has, or that has ended, is
left alone: then the exit code is 1, and the message says what to do instead. If no stream knows the job, the exit code is 3.`,
		Example: `  rbee jobs cancel job-01a20320-a200-7c3e-9a54-5d0f3c2b1a00
  rbee jobs ls --state waiting --hive gpu-1 -o json |
    jq -r '.jobs[].job_id' | xargs -n 1 rbee jobs cancel`,
		Args: cobra.ExactArgs(1),
	}
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeArgs(1, findJobs(&f.hive, queen.JobWaiting))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, done, err := f.connect(cmd, args[0])
		if err != nil {
			return err
		}
		defer done()
		job, err := client.Cancel(cmd.Context(), f.hive, args[0])
		if err != nil {
			return explainJob(err)
		}
		if f.output.JSON() {
			return cli.WriteJSON(cmd.OutOrStdout(), job)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "job %s of hive %s is cancelled: it never ran\n", job.JobID, job.HiveID)
		return err
	}
	return cmd
}

func jobsRetryCommand() *cobra.Command {
	var f oneJob
	cmd := &cobra.Command{
		Use:   "retry JOB",
		Short: "Queue again what a job asked for that failed or is dead",
		Long: `retry queues what a job asked for as a job with a new id, because the outcome of the old one is final. It takes jobs that failed, are
dead, were cancelled, have expired or are gone, and that were queued by rbee.`,
		Example: `  rbee jobs retry job-01a20320-a200-7c3e-9a54-5d0f3c2b1a00`,
		Args:    cobra.ExactArgs(1),
	}
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeArgs(1, findJobs(&f.hive, queen.JobFailed, queen.JobDead, queen.JobCancelled, queen.JobExpired, queen.JobGone))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, done, err := f.connect(cmd, args[0])
		if err != nil {
			return err
		}
		defer done()
		receipt, err := client.Retry(cmd.Context(), f.hive, args[0])
		if err != nil {
			return explainJob(err)
		}
		return printReceipt(cmd, f.output, receipt, f.standing(cmd, receipt))
	}
	return cmd
}

// printReceipt says that a job is in the queue, and how far from its turn.
func printReceipt(cmd *cobra.Command, output *cli.Output, r queen.Receipt, standing string) error {
	if output.JSON() {
		return cli.WriteJSON(cmd.OutOrStdout(), r)
	}
	return cli.Table(cmd.OutOrStdout(),
		[]string{"job", r.JobID},
		[]string{"hive", r.HiveID},
		[]string{"queued", standing},
	)
}
