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
	stored := f.stored(cmd.Context(), client, hive)
	receipt, err := client.Enqueue(cmd.Context(), hive, f.job)
	duplicate, known := errors.AsType[*queen.DuplicateError](err)
	switch {
	case known && !f.detach: // the same job: what becomes of it is the answer
		tellDuplicate(cmd, duplicate)
	case unsure(err):
		return fmt.Errorf("%w; the same job again: `%s`", err, f.repeat(cmd, hive))
	case err != nil:
		return err
	case f.detach:
		return printReceipt(cmd, f.output, receipt, f.standing(cmd, receipt))
	default:
		if !f.quiet {
			tellQueued(cmd, receipt)
		}
		f.standing(cmd, receipt)
	}
	ctx, cancel := bounded(cmd.Context(), f.wait)
	defer cancel()
	var at progress
	result, err := client.Await(ctx, hive, f.job.JobID, at.hear(narrate))
	if err != nil {
		return explainQueued(cmd, f.output, messages.Failure{JobID: f.job.JobID, HiveID: hive}, f.told, at, f.wait, err)
	}
	if stored {
		result = replayed(cmd.Context(), client, result)
	}
	return f.deliver(cmd, result)
}

// enqueue queues the job, and waits for what becomes of it unless it was told not to.
func (f *removeFlags) enqueue(cmd *cobra.Command, client *queen.Client, hive string, job messages.DeleteJob, narrate func(messages.Event)) error {
	receipt, err := client.EnqueueDelete(cmd.Context(), hive, job)
	duplicate, known := errors.AsType[*queen.DuplicateError](err)
	switch {
	case known && !f.detach:
		tellDuplicate(cmd, duplicate)
		receipt = queen.Receipt{HiveID: hive, JobID: job.JobID}
	case err != nil:
		return err
	case f.detach:
		return printReceipt(cmd, f.output, receipt, f.standing(cmd, receipt))
	default:
		if !f.quiet {
			tellQueued(cmd, receipt)
		}
		f.standing(cmd, receipt)
	}
	ctx, cancel := bounded(cmd.Context(), f.wait)
	defer cancel()
	var at progress
	deleted, err := client.AwaitDelete(ctx, hive, receipt.JobID, at.hear(narrate))
	if err != nil {
		at.worker = "" // it is being ended already
		return explainQueued(cmd, f.output, messages.Failure{JobID: receipt.JobID, HiveID: hive}, f.told, at, f.wait, err)
	}
	return f.print(cmd, deleted)
}

// unsure reports whether nobody knows if a job is in the queue.
func unsure(err error) bool {
	_, is := errors.AsType[*queen.UnsureError](err)
	return is
}

// tellQueued says on stderr that a job is in the queue.
func tellQueued(cmd *cobra.Command, r queen.Receipt) {
	fmt.Fprintln(cmd.ErrOrStderr(), cli.NewPaint(cmd.ErrOrStderr()).Dim(
		fmt.Sprintf("job %s is queued for hive %s (Ctrl-C leaves it there)", r.JobID, r.HiveID)))
}

// tellDuplicate says on stderr that a job was there already.
func tellDuplicate(cmd *cobra.Command, d *queen.DuplicateError) {
	fmt.Fprintln(cmd.ErrOrStderr(), cli.NewPaint(cmd.ErrOrStderr()).Yellow(
		fmt.Sprintf("job %s was queued before and is %s: this is what becomes of it", d.Job.JobID, d.Job.State)))
}

// bounded returns ctx with a limit, unless that is 0.
func bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, limit)
}

// explainQueued says what becomes of a job that nobody waits for any more, after wait; other failures are those of a request.
func explainQueued(cmd *cobra.Command, output *cli.Output, job messages.Failure, told bool, at progress, wait time.Duration, err error) error {
	if _, pending := errors.AsType[*queen.PendingError](err); !pending {
		if failure, failed := errors.AsType[*messages.Error](err); failed {
			job.Err = failure
			return tellFailure(cmd, output, job, told, "")
		}
		return explainJob(err)
	}
	goesOn := at.goesOn(job.JobID)
	if cmd.Context().Err() != nil {
		return cli.Exit(cli.ExitInterrupted, errors.New("interrupted; "+goesOn))
	}
	return fmt.Errorf("no result within %s (--timeout); %s", wait, goesOn)
}
