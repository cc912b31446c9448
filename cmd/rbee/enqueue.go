package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// checkQueue refuses flags that do not fit together, and sets what the queue means for a job: nothing but --deadline bounds it.
func (f *spawnFlags) checkQueue(now time.Time) error {
	switch {
	case !f.queue && f.detach:
		return cli.Usagef("--detach is for a queued job: add --queue")
	case !f.queue && f.within != 0:
		return cli.Usagef("--deadline is for a queued job: add --queue, or use --timeout")
	case f.within < 0:
		return cli.Usagef("--deadline: is %s; use more than 0", f.within)
	case f.detach && f.wait != 0:
		return cli.Usagef("--detach does not wait, so that there is nothing for --timeout to bound: use one of them")
	case !f.queue:
		return nil
	}
	if f.job.Deadline = (time.Time{}); f.within > 0 {
		f.job.Deadline = now.Add(f.within).UTC()
	}
	return nil
}

// enqueue queues the job, and waits for what becomes of it unless it was told not to.
func (f *spawnFlags) enqueue(cmd *cobra.Command, client *queen.Client, hive string, narrate func(messages.Event)) error {
	receipt, err := client.Enqueue(cmd.Context(), hive, f.job)
	duplicate, known := errors.AsType[*queen.DuplicateError](err)
	switch {
	case known && !f.detach: // the same job: what becomes of it is the answer
		fmt.Fprintln(cmd.ErrOrStderr(), cli.NewPaint(cmd.ErrOrStderr()).Yellow(
			fmt.Sprintf("job %s was queued before and is %s: this is what becomes of it", f.job.JobID, duplicate.Job.State)))
	case err != nil:
		return err
	case f.detach:
		return printReceipt(cmd, f.output, receipt)
	case !f.quiet:
		fmt.Fprintln(cmd.ErrOrStderr(), cli.NewPaint(cmd.ErrOrStderr()).Dim(
			fmt.Sprintf("job %s is queued for hive %s (Ctrl-C leaves it there)", receipt.JobID, hive)))
	}
	ctx := cmd.Context()
	if f.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.wait)
		defer cancel()
	}
	result, err := client.Await(ctx, hive, f.job.JobID, narrate)
	if err != nil {
		return f.explainQueued(cmd, result, err)
	}
	return f.print(cmd.OutOrStdout(), result)
}

// explainQueued says what becomes of a job that nobody waits for any more; other failures are those of a request.
func (f *spawnFlags) explainQueued(cmd *cobra.Command, result messages.Result, err error) error {
	if _, pending := errors.AsType[*queen.PendingError](err); !pending {
		if failure, failed := errors.AsType[*messages.Error](err); failed {
			answer := messages.Failure{JobID: result.JobID, HiveID: result.HiveID, Err: failure}
			return tellFailure(cmd, f.output, answer, f.told, "")
		}
		return explainJob(err)
	}
	stays := fmt.Sprintf("job %[1]s stays in the queue: `rbee jobs get %[1]s` shows what becomes of it, `rbee jobs cancel %[1]s` takes it out while it waits", f.job.JobID)
	if cmd.Context().Err() != nil {
		return cli.Exit(cli.ExitInterrupted, errors.New("interrupted; "+stays))
	}
	return fmt.Errorf("no result within %s (--timeout); %s", f.wait, stays)
}
