package main

import (
	"cmp"
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
	now     bool          // no grace at all
	timeout time.Duration // how long to wait at first; see wait
	quiet   bool

	queue, detach bool
	wait          time.Duration // how long the user said to wait; 0: as long as it takes

	told  bool // the narration has told that it failed
	begun bool // the narration has told that the worker is being ended
}

func removeCommand() *cobra.Command {
	var f removeFlags
	cmd := &cobra.Command{
		Use:   "rm WORKER",
		Short: "End a worker",
		Long: `rm asks the worker's hive to end it: SIGTERM to every process of it and, to what is left after the grace, SIGKILL. It shows
on stderr what the hive tells meanwhile, and prints the result on stdout once nothing of the worker runs. If nothing of it ran
before, the exit code is 3.

An id that its hive made may be shortened, as tables show it, if no other worker's begins so; one that somebody chose may not.

It waits as long as the hive says that the worker has, and 30s more. Who does not want to wait any longer sends it once more from
elsewhere with --now or a shorter --grace: that hurries what is under way.

With --queue the job goes into the fleet's work queue instead, where it waits until its hive has run it, also while the hive or this
command is away. Give --pid then: without it, a worker that has taken the same id meanwhile would be ended.`,
		Example: `  rbee workers rm worker-abc123
  rbee workers rm worker-abc123 --now
  rbee workers rm worker-abc123 --hive gpu-1 --pid 12345 --grace 1s
  rbee workers rm worker-abc123 --hive gpu-1 --pid 12345 --queue --detach`,
		Args: cobra.ExactArgs(1),
	}
	cli.Section(cmd, "Job", func(fs *pflag.FlagSet) {
		fs.StringVar(&f.jobID, "job-id", "", "`id` of the job (default a fresh one)")
		fs.IntVar(&f.pid, "pid", 0, "only if this is its process `id`, so that no successor is ended")
		fs.DurationVar(&f.grace, "grace", 0, "how long it may take to end by itself (default the worker's or the hive's setting)")
		fs.BoolVar(&f.now, "now", false, "end it at once, as with --grace 0s")
		fs.DurationVar(&f.timeout, "timeout", 0, "how long to wait for the answer (default the grace and 30s, at least 1m; with --queue until it comes)")
		fs.BoolVarP(&f.quiet, "quiet", "q", false, "show no narration")
	})
	cli.Section(cmd, "Queue", func(fs *pflag.FlagSet) {
		fs.BoolVar(&f.queue, "queue", false, "put the job into the work queue, where it waits for its hive")
		fs.BoolVar(&f.detach, "detach", false, "with --queue: print the job's id once it is queued, and do not wait for the result")
	})
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeWorker(findWorkers(&f.hive, false))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("grace") {
			if f.now && f.grace > 0 {
				return cli.Usagef("--now leaves no time and --grace %s does: use one of them", f.grace)
			}
			f.now = f.grace == 0
		}
		return f.run(cmd, args[0])
	}
	return cmd
}

func (f *removeFlags) run(cmd *cobra.Command, worker string) error {
	job, err := f.job(worker)
	if err != nil {
		return err
	}
	f.madeOnly = true
	client, at, done, err := f.connect(cmd, worker)
	if err != nil {
		return err
	}
	defer done()
	job.WorkerID = at.worker
	var narrate func(messages.Event)
	if !f.quiet {
		out := newNarrator(cmd.ErrOrStderr(), &lead{hive: f.hive == "", about: true})
		narrate = func(e messages.Event) {
			out.tell(e)
			f.told = f.told || e.Action == messages.ActionDeleteFailed
		}
	}
	if f.queue {
		return f.enqueue(cmd, client, at.hive, job, narrate)
	}
	return f.ask(cmd, client, at.hive, job, narrate)
}

// ask sends the job and waits for its answer: as long as was said, or else as long as the hive says that the worker has.
func (f *removeFlags) ask(cmd *cobra.Command, client *queen.Client, hive string, job messages.DeleteJob, narrate func(messages.Event)) error {
	waiting, patience, stop := newPatience(cmd.Context(), f.timeout)
	defer stop()
	job.Deadline = time.Now().Add(f.timeout).UTC() // not to be begun when nobody waits for it any more
	heed := func(e messages.Event) {
		if e.Action == messages.ActionDeleteStart {
			f.begun = true
			if f.wait == 0 {
				patience.putOff(time.Duration(e.Fields.GraceMS)*time.Millisecond + removeTime)
			}
		}
		if narrate != nil {
			narrate(e)
		}
	}
	if narrate == nil && f.wait > 0 {
		heed = nil // nothing depends on the narration, which the user may not be allowed to read
	}
	deleted, err := client.Delete(waiting, hive, job, heed)
	if err == nil {
		return f.print(cmd, deleted)
	}
	if _, silent := errors.AsType[*queen.NoAnswerError](err); silent && waiting.Err() != nil {
		return f.explainSilence(cmd, hive, job.WorkerID, patience.limit)
	}
	return f.explain(cmd, deleted, hive, err)
}

// explainSilence says what becomes of the worker when nobody waits for that any more.
func (f *removeFlags) explainSilence(cmd *cobra.Command, hive, worker string, waited time.Duration) error {
	goesOn := "the hive may end the worker all the same"
	if f.begun {
		goesOn = "the hive goes on ending the worker"
	}
	goesOn += fmt.Sprintf(": `rbee workers get %[1]s --hive %[2]s` shows whether it has, `rbee workers rm %[1]s --hive %[2]s --now` ends it at once", worker, hive)
	if cmd.Context().Err() != nil {
		return cli.Exit(cli.ExitInterrupted, errors.New("interrupted while the hive had the job; "+goesOn))
	}
	return fmt.Errorf("no answer within %s (--timeout); %s", waited.Round(time.Second/10), goesOn)
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
	if f.grace > 0 || f.now {
		job.GraceMS = max(job.GraceMS, 1) // 0 would mean the setting
	}
	switch {
	case f.grace < 0 || f.grace > messages.MaxGrace:
		return job, cli.Usagef("--grace: is %s; use 0s to %s", f.grace, messages.MaxGrace)
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
	return explainQuestion(hive, err)
}
