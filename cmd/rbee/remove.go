package main

import (
	"cmp"
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

// removeTime is how long `rbee workers rm` waits behind the grace, unless told otherwise.
const removeTime = 30 * time.Second

// removeFlags is what `rbee workers rm` is told.
type removeFlags struct {
	oneWorker
	jobID   string
	pid     int
	grace   time.Duration // 0: the worker's or the hive's
	timeout time.Duration // 0: by default
	quiet   bool

	queue, detach bool
	wait          time.Duration // how long to wait for the result of a queued job; 0: until it comes

	told bool // the narration has told that it failed
}

func removeCommand() *cobra.Command {
	var f removeFlags
	cmd := &cobra.Command{
		Use:   "rm WORKER",
		Short: "End a worker",
		Long: `rm asks the worker's hive to end it: SIGTERM to every process of it and, to what is left after the grace, SIGKILL. It shows
on stderr what the hive tells meanwhile, and prints the result on stdout once nothing of the worker runs. If nothing of it ran
before, the exit code is 3.

With --queue the job goes into the fleet's work queue instead, where it waits until its hive has run it, also while the hive or this
command is away. Give --pid then: without it, a worker that has taken the same id meanwhile would be ended.`,
		Example: `  rbee workers rm worker-abc123
  rbee workers rm worker-abc123 --hive gpu-1 --pid 12345 --grace 1s
  rbee workers rm worker-abc123 --hive gpu-1 --pid 12345 --queue --detach`,
		Args: cobra.ExactArgs(1),
	}
	cli.Section(cmd, "Job", func(fs *pflag.FlagSet) {
		fs.StringVar(&f.jobID, "job-id", "", "`id` of the job (default a fresh one)")
		fs.IntVar(&f.pid, "pid", 0, "only if this is its process `id`, so that no successor is ended")
		fs.DurationVar(&f.grace, "grace", 0, "how long it may take to end by itself (default the worker's or the hive's setting)")
		fs.DurationVar(&f.timeout, "timeout", 0, "how long to wait for the answer (default the grace and 30s, at least 1m; with --queue until it comes)")
		fs.BoolVarP(&f.quiet, "quiet", "q", false, "show no narration")
	})
	cli.Section(cmd, "Queue", func(fs *pflag.FlagSet) {
		fs.BoolVar(&f.queue, "queue", false, "put the job into the work queue, where it waits for its hive")
		fs.BoolVar(&f.detach, "detach", false, "with --queue: print the job's id once it is queued, and do not wait for the result")
	})
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) }
	return cmd
}

func (f *removeFlags) run(cmd *cobra.Command, worker string) error {
	job, err := f.job(worker)
	if err != nil {
		return err
	}
	client, hive, done, err := f.connect(cmd, worker)
	if err != nil {
		return err
	}
	defer done()
	var narrate func(messages.Event)
	if !f.quiet {
		out := newNarrator(cmd.ErrOrStderr(), &lead{hive: f.hive == "", about: true})
		narrate = func(e messages.Event) {
			out.tell(e)
			f.told = f.told || e.Action == messages.ActionDeleteFailed
		}
	}
	if f.queue {
		return f.enqueue(cmd, client, hive, job, narrate)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	deleted, err := client.Delete(ctx, hive, job, narrate)
	if err != nil {
		return f.explain(cmd, deleted, hive, err)
	}
	return f.print(cmd, deleted)
}

// print says that the worker is gone.
func (f *removeFlags) print(cmd *cobra.Command, deleted messages.Deleted) error {
	if f.output.JSON() {
		return cli.WriteJSON(cmd.OutOrStdout(), deleted)
	}
	processes := "1 process"
	if deleted.Processes != 1 {
		processes = fmt.Sprintf("%d processes", deleted.Processes)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "worker %s of hive %s (pid %d) is gone: %s ended %s in %d ms\n", cli.Printable(deleted.WorkerID),
		cli.Printable(deleted.HiveID), deleted.PID, cli.Printable(deleted.Signal), processes, deleted.TookMS)
	return err
}

// job returns the job that the flags mean, or says which of them is wrong.
func (f *removeFlags) job(worker string) (messages.DeleteJob, error) {
	job := messages.DeleteJob{WorkerID: worker, PID: f.pid, GraceMS: f.grace.Milliseconds(), JobID: cmp.Or(f.jobID, messages.NewJobID())}
	if f.grace > 0 {
		job.GraceMS = max(job.GraceMS, 1) // 0 would mean the setting
	}
	switch {
	case f.grace < 0 || f.grace > messages.MaxGrace:
		return job, cli.Usagef("--grace: is %s; use more than 0 and at most %s", f.grace, messages.MaxGrace)
	case f.timeout < 0:
		return job, cli.Usagef("--timeout: is %s; use more than 0", f.timeout)
	case f.pid < 0 || f.pid == 1:
		return job, cli.Usagef("--pid: is %d; use the worker's process id", f.pid)
	case messages.CheckID(job.JobID) != nil:
		return job, cli.Usagef("--job-id: %w", messages.CheckID(job.JobID))
	case f.detach && !f.queue:
		return job, cli.Usagef("--detach is for a queued job: add --queue")
	case f.detach && f.timeout != 0:
		return job, cli.Usagef("--detach does not wait, so that there is nothing for --timeout to bound: use one of them")
	}
	f.wait = f.timeout
	f.timeout = cmp.Or(f.timeout, max(f.grace+removeTime, time.Minute))
	return job, nil
}

// explain turns a failure into what the user reads and the exit code that a script reads.
func (f *removeFlags) explain(cmd *cobra.Command, deleted messages.Deleted, hive string, err error) error {
	if failure, ok := errors.AsType[*messages.Error](err); ok {
		answer := messages.Failure{JobID: deleted.JobID, HiveID: cmp.Or(deleted.HiveID, hive), Err: failure}
		return tellFailure(cmd, f.output, answer, f.told, "")
	}
	if _, silent := errors.AsType[*queen.NoAnswerError](err); silent {
		const all = "the hive may end the worker all the same: look with `rbee workers get`"
		switch {
		case cmd.Context().Err() != nil:
			return cli.Exit(cli.ExitInterrupted, fmt.Errorf("interrupted while the hive had the job; %s", all))
		case errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("no answer within %s (--timeout); %s", f.timeout, all)
		}
	}
	return explainQuestion(hive, err)
}
