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

// replayTime bounds each question about a job that was done before. What is not answered by then is not told.
const replayTime = 2 * time.Second

// stored reports whether the streams hold a result of the job already: then whoever queues it again is answered with that. A fresh
// id is not looked for.
func (f *spawnFlags) stored(ctx context.Context, client *queen.Client, hive string) bool {
	if f.asked == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, replayTime)
	defer cancel()
	job, err := client.Job(ctx, hive, f.job.JobID)
	return err == nil && job.State == queen.JobDone
}

// replayed returns a stored result as what it is: one that started nothing now, of a worker that has ended since if its hive says so.
func replayed(ctx context.Context, client *queen.Client, r messages.Result) messages.Result {
	r.Replayed = true
	ctx, cancel := context.WithTimeout(ctx, replayTime)
	defer cancel()
	worker, err := client.Worker(ctx, r.HiveID, r.WorkerID)
	switch {
	case errors.Is(err, messages.WorkerNotFound):
		r.Ended = true
	case err == nil: // another process of the same id is another worker
		r.Ended = r.Ended || worker.State == messages.StateExited || worker.PID != 0 && worker.PID != r.PID
	}
	return r
}

// deliver prints the result and says if its worker has ended. Then --wait has failed: it promises a worker that serves.
func (f *spawnFlags) deliver(cmd *cobra.Command, r messages.Result) error {
	if err := f.print(cmd.OutOrStdout(), r); err != nil || !r.Ended {
		return err
	}
	text := fmt.Sprintf("worker %s of this job has ended; use another --job-id to start a new one", cli.Printable(r.WorkerID))
	if f.ready {
		return cli.Exit(cli.ExitFailure, errors.New(text))
	}
	fmt.Fprintln(cmd.ErrOrStderr(), cli.NewPaint(cmd.ErrOrStderr()).Yellow(text))
	return nil
}
