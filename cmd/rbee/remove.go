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
	pid     int
	grace   time.Duration // 0: the worker's or the hive's
	timeout time.Duration // 0: by default
	quiet   bool

	told bool // the narration has told that it failed
}

func removeCommand() *cobra.Command {
	var f removeFlags
	cmd := &cobra.Command{
		Use:   "rm WORKER",
		Short: "End a worker",
		Long: `rm asks the worker's hive to end it: SIGTERM to every process of it and, to what is left after the grace, SIGKILL. It shows
on stderr what the hive tells meanwhile, and prints the result on stdout once nothing of the worker runs. If nothing of it ran
before, the exit code is 3.`,
		Example: `  rbee workers rm worker-abc123
  rbee workers rm worker-abc123 --hive gpu-1 --pid 12345 --grace 1s`,
		Args: cobra.ExactArgs(1),
	}
	cli.Section(cmd, "Job", func(fs *pflag.FlagSet) {
		fs.IntVar(&f.pid, "pid", 0, "only if this is its process `id`, so that no successor is ended")
		fs.DurationVar(&f.grace, "grace", 0, "how long it may take to end by itself (default the worker's or the hive's setting)")
		fs.DurationVar(&f.timeout, "timeout", 0, "how long to wait for the answer (default the grace and 30s, at least 1m)")
		fs.BoolVarP(&f.quiet, "quiet", "q", false, "show no narration")
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
		out := newNarrator(cmd.ErrOrStderr(), nil)
		narrate = func(e messages.Event) {
			out.tell(e)
			f.told = f.told || e.Action == messages.ActionDeleteFailed
		}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	deleted, err := client.Delete(ctx, hive, job, narrate)
	if err != nil {
		return f.explain(cmd, deleted, hive, err)
	}
	if f.output.JSON() {
		return cli.WriteJSON(cmd.OutOrStdout(), deleted)
	}
	processes := "1 process"
	if deleted.Processes != 1 {
		processes = fmt.Sprintf("%d processes", deleted.Processes)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "worker %s of hive %s (pid %d) is gone: %s ended %s in %d ms\n", cli.Printable(deleted.WorkerID),
		cli.Printable(deleted.HiveID), deleted.PID, cli.Printable(deleted.Signal), processes, deleted.TookMS)
	return err
}

// job returns the job that the flags mean, or says which of them is wrong.
func (f *removeFlags) job(worker string) (messages.DeleteJob, error) {
	job := messages.DeleteJob{WorkerID: worker, PID: f.pid, GraceMS: f.grace.Milliseconds(), JobID: messages.NewJobID()}
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
	}
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
