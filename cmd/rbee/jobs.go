package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func jobsCommand() *cobra.Command {
	cmd := jobsListCommand("jobs")
	cmd.Short = "List queued jobs, look at them, cancel them, or try them again"
	cmd.AddCommand(jobsListCommand("ls"), jobsGetCommand(), jobsCancelCommand(), jobsRetryCommand())
	return cmd
}

func jobsListCommand(name string) *cobra.Command {
	var (
		f      fleet
		filter queen.JobFilter
		state  string
	)
	cmd := &cobra.Command{
		Use:   name,
		Short: "List the jobs that wait or run, and those that ended",
		Long: `It lists the jobs of the fleet's queue and those that ended, of which the streams know, also while no hive runs. Queue a job with
'rbee spawn --queue'.

First come the jobs in the queue, in the order in which they came:

  waiting    its hive has not been given it
  running    its hive was given it and has not said that it is done: it is at work, or will try again
  dead       its hive was given it as often as may be, or gave it up, and it came to no result

then those that left the queue without a result, the newest first:

  dead       as above, and taken out of the queue (by 'rbee jobs retry')
  cancelled  it was taken out of the queue before its hive saw it
  expired    its deadline, or the age that the queue allows, passed before its hive came
  gone       it left the queue, and nobody said why: somebody may have removed it by hand

and then those with a result, also of requests, the newest first:

  done       it succeeded
  failed     its result is a failure

What a job was about (operation, model, worker) is shown as far as its result, its message or its story says it. A narrow terminal gets
fewer columns; -o json has everything. When a job was queued is shown of those in the queue; 'rbee jobs get' knows it of all that rbee queued.`,
		Example: `  rbee jobs
  rbee jobs ls --hive gpu-1 --state failed -o json | jq -r '.jobs[].job_id'`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Jobs", func(fs *pflag.FlagSet) {
		fs.StringVar(&filter.Hive, "hive", "", "only those of the hive with this `id`")
		fs.StringVar(&state, "state", "", "only those in this `state`, as listed below")
		fs.IntVar(&filter.Limit, "limit", 100, "`number` of jobs at most, up to 1000")
		fs.StringVar(&filter.After, "after", "", "go on behind a page, `from` where it said")
	})
	output := cli.AddOutput(cmd)
	f.addFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, _, done, err := f.client(cmd)
		if err != nil {
			return err
		}
		defer done()
		filter.State = queen.JobState(state)
		return listJobs(cmd, client, filter, output)
	}
	return cmd
}

// listJobs prints one page of jobs, and says where the next one begins.
func listJobs(cmd *cobra.Command, client *queen.Client, filter queen.JobFilter, output *cli.Output) error {
	page, err := client.Jobs(cmd.Context(), filter)
	switch {
	case errors.Is(err, messages.InvalidJob):
		return cli.Usagef("--%s", messages.AsError(err).Message)
	case err != nil:
		return err
	case output.JSON():
		return cli.WriteJSON(cmd.OutOrStdout(), page)
	}
	if len(page.Jobs) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "No such jobs. Queue one with `rbee spawn --queue`.")
		return nil
	}
	for _, line := range jobTable(page.Jobs, cli.Width(cmd.OutOrStdout())) {
		fmt.Fprintln(cmd.OutOrStdout(), line)
	}
	if page.Next != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "more with --after %s\n", page.Next)
	}
	return nil
}

// spareJobColumns are those that a table of jobs does without where it would be too wide, the first of them first.
var spareJobColumns = []string{"ATTEMPTS", "OPERATION", "WORKER", "QUEUED", "ENDED", "MODEL", "HIVE"}

// jobTable returns the lines of a table of jobs, none wider than width unless that is 0.
func jobTable(jobs []queen.QueuedJob, width int) []string {
	rows := [][]string{{"JOB", "STATE", "HIVE", "OPERATION", "MODEL", "WORKER", "QUEUED", "ENDED", "ATTEMPTS"}}
	for _, job := range jobs {
		row := []string{
			job.JobID, string(job.State), job.HiveID, string(job.Operation), job.Model, job.WorkerID,
			age(job.QueuedAt), age(job.EndedAt), number(job.Attempts),
		}
		for i := range row {
			row[i] = oneLine(cmp.Or(row[i], "-"))
		}
		rows = append(rows, row)
	}
	shorten(rows, "WORKER")
	return fitting(rows, spareJobColumns, width)
}

// stateNames lists the states of a job as words.
func stateNames() []string {
	var names []string
	for _, state := range queen.JobStates {
		names = append(names, string(state))
	}
	return names
}

// oneJob is the flags of a command about one job.
type oneJob struct {
	fleet
	hive   string
	output *cli.Output
}

func (f *oneJob) addFlags(cmd *cobra.Command) {
	cli.Section(cmd, "Job", func(fs *pflag.FlagSet) {
		fs.StringVar(&f.hive, "hive", "", "`id` of its hive (default any that knows a job with this id)")
	})
	f.output = cli.AddOutput(cmd)
	f.fleet.addFlags(cmd)
}

// connect checks what was said and connects.
func (f *oneJob) connect(cmd *cobra.Command, job string) (*queen.Client, func(), error) {
	if err := messages.CheckID(job); err != nil {
		return nil, nil, cli.Usagef("job id: %w", err)
	}
	if f.hive != "" && messages.CheckID(f.hive) != nil {
		return nil, nil, cli.Usagef("--hive: %w", messages.CheckID(f.hive))
	}
	client, _, done, err := f.client(cmd)
	return client, done, err
}

// explainJob gives a failure the exit code that a script reads.
func explainJob(err error) error {
	if _, unknown := errors.AsType[*queen.JobNotFoundError](err); unknown {
		return cli.Exit(cli.ExitNotFound, err)
	}
	return err
}

func jobsGetCommand() *cobra.Command {
	var f oneJob
	cmd := &cobra.Command{
		Use:   "get JOB",
		Short: "Show what became of a job, and its story",
		Long: `get shows where a job is, its result, and what its hive told of it, as far as that is kept (results for 7 days, narration for 3,
unless the streams say otherwise). If no stream knows the job, the exit code is 3.`,
		Example: `  rbee jobs get job-01a20320-a200-7c3e-9a54-5d0f3c2b1a00
  rbee jobs get job-1 -o json | jq .answer`,
		Args: cobra.ExactArgs(1),
	}
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeArgs(1, findJobs(&f.hive))
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.get(cmd, args[0]) }
	return cmd
}

func (f *oneJob) get(cmd *cobra.Command, id string) error {
	client, done, err := f.connect(cmd, id)
	if err != nil {
		return err
	}
	defer done()
	job, err := client.Job(cmd.Context(), f.hive, id)
	if err != nil {
		return explainJob(err)
	}
	story, storyErr := client.Story(cmd.Context(), job.HiveID, id)
	if f.output.JSON() {
		err = cli.WriteJSON(cmd.OutOrStdout(), struct {
			queen.QueuedJob
			Narration []messages.Event `json:"narration"`
		}{job, append([]messages.Event{}, story...)})
	} else {
		err = f.print(cmd, job, story)
	}
	if storyErr != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), cli.NewPaint(cmd.ErrOrStderr()).Yellow("its story cannot be read: "+storyErr.Error()))
	}
	return err
}

// print writes what is known of a job for a person.
func (f *oneJob) print(cmd *cobra.Command, job queen.QueuedJob, story []messages.Event) error {
	w := cmd.OutOrStdout()
	rows := [][]string{{"job", job.JobID}, {"state", string(job.State)}, {"hive", job.HiveID}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, oneLine(value)})
		}
	}
	add("operation", string(job.Operation))
	add("model", job.Model)
	add("device", job.Device)
	add("worker", job.WorkerID)
	for _, moment := range []struct {
		name string
		at   time.Time
	}{{"queued", job.QueuedAt}, {"ended", job.EndedAt}} {
		if !moment.at.IsZero() {
			add(moment.name, moment.at.Local().Format(time.RFC3339)+" ("+age(moment.at)+")")
		}
	}
	add("attempts", number(job.Attempts))
	add("reason", job.Reason)
	add("asked", string(job.Job))
	var answer struct {
		PID     int             `json:"pid"`
		Port    int             `json:"port"`
		LogPath string          `json:"log_path"`
		Err     *messages.Error `json:"error"`
	}
	if job.Answer != nil && json.Unmarshal(job.Answer, &answer) == nil {
		add("pid", number(answer.PID))
		add("port", number(answer.Port))
		add("log", answer.LogPath)
		if answer.Err != nil {
			add("error", answer.Err.Error())
		}
	}
	if err := cli.Table(w, rows...); err != nil {
		return err
	}
	if answer.Err != nil {
		fmt.Fprint(w, cli.Printable(details(answer.Err)))
	}
	if len(story) > 0 {
		fmt.Fprintln(w)
	}
	out := newNarrator(w, &lead{clock: true})
	for _, event := range story {
		out.tell(event)
	}
	return nil
}
