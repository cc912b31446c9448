package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// How long `rbee spawn` waits, unless told otherwise: for a process that runs, and for a model that is loaded.
const (
	spawnTimeout = 30 * time.Second
	readyTimeout = 10 * time.Minute
	// answerTime is how long the hive may take to say that the time is over, which tells more than silence.
	answerTime = 10 * time.Second
)

// spawnFlags is what `rbee spawn` is told.
type spawnFlags struct {
	fleet
	job     messages.Job
	ready   bool
	timeout time.Duration // 0: by default
	quiet   bool
	dryRun  bool
	asked   string // the job id that was given
	output  *cli.Output

	queue, detach bool
	within        time.Duration // how long a queued job may wait to be begun; 0: as long as the queue keeps it
	wait          time.Duration // how long to wait for the result of a queued job; 0: until it comes

	told bool // the narration has told that the job failed
}

func spawnCommand() *cobra.Command {
	var f spawnFlags
	cmd := &cobra.Command{
		Use:   "spawn --model MODEL",
		Short: "Start a worker on a hive",
		Long: `spawn asks a hive to start a worker for a model on a device, shows on stderr what the hive tells meanwhile, and prints the
result on stdout. Without --hive it asks the only hive that there is.

With --queue the job goes into the fleet's work queue instead, where it waits until its hive has run it, also while the hive or this
command is away; the result is waited for, or with --detach only that the job is queued. Make the queue with 'rbee streams apply'.

With -o json the answer is printed as it came over the wire, also when the hive failed the job. Asking again with the
same --job-id is safe: the same job never starts a second worker. It gets the first answer, marked as replayed; if the worker has ended
since, that is said on stderr, and with --wait the exit code is 1.`,
		Example: `  rbee spawn --model meta-llama/Llama-3-8b
  rbee spawn --hive gpu-1 --model meta-llama/Llama-3-8b --device cuda:0 --wait
  rbee spawn --model tiny --port 9001 -o json | jq .pid
  rbee spawn --hive gpu-1 --model tiny --worker llama-server --dry-run
  rbee spawn --hive gpu-1 --model tiny --queue --detach`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Job", func(fs *pflag.FlagSet) {
		fs.StringVar(&f.job.Model, "model", "", "`model` to serve: a name or a path on the hive's machine (required)")
		fs.StringVar(&f.job.Device, "device", "cpu", "`device` to serve it on: cpu, cuda:N or metal")
		fs.StringVar(&f.job.HiveID, "hive", "", "`id` of the hive (default the only one that answers)")
		fs.IntVar(&f.job.Port, "port", 0, "TCP `port` of the worker; 0 is a free one of the hive's range")
		fs.StringVar(&f.job.WorkerID, "worker-id", "", "`id` of the worker (default made from hive and job)")
		fs.StringVar(&f.job.JobID, "job-id", "", "`id` of the job (default a fresh one)")
		fs.StringVar(&f.job.Worker, "worker", "", "`name` in the hive's catalog (default the device's own worker)")
		fs.StringVar(&f.job.Version, "version", "", "`version` in the hive's catalog (default the highest)")
		fs.StringVar(&f.job.QueenURL, "queen-url", "", "`URL` where the worker sends heartbeats (default the hive's setting)")
		fs.BoolVar(&f.ready, "wait", false, "wait until the worker serves, not only until its process runs")
		fs.DurationVar(&f.timeout, "timeout", 0, "how long to wait for the answer (default 30s, with --wait 10m; with --queue until it comes)")
		fs.BoolVarP(&f.quiet, "quiet", "q", false, "show no narration")
	})
	cli.Section(cmd, "Dry run", func(fs *pflag.FlagSet) {
		fs.BoolVar(&f.dryRun, "dry-run", false, "print what the hive would start, and why, and start nothing")
	})
	cli.Section(cmd, "Queue", func(fs *pflag.FlagSet) {
		fs.BoolVar(&f.queue, "queue", false, "put the job into the work queue, where it waits for its hive")
		fs.BoolVar(&f.detach, "detach", false, "with --queue: print the job's id once it is queued, and do not wait for the result")
		fs.DurationVar(&f.within, "deadline", 0, "with --queue: not to be begun later than in this time (default as long as the queue keeps it)")
	})
	f.output = cli.AddOutput(cmd)
	f.addFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("device", f.fleet.complete(findDevices(&f.job.HiveID)))
	_ = cmd.RegisterFlagCompletionFunc("worker", f.fleet.complete(findInstalled(&f.job.HiveID)))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd) }
	return cmd
}

// run sends the job and prints what came of it.
func (f *spawnFlags) run(cmd *cobra.Command) error {
	if err := f.complete(time.Now()); err != nil {
		return err
	}
	client, subjects, done, err := f.client(cmd)
	if err != nil {
		return err
	}
	defer done()
	hive, err := f.chooseHive(cmd.Context(), client, subjects)
	if err != nil {
		return err
	}
	if f.dryRun {
		return f.plan(cmd, client, hive)
	}
	var narrate func(messages.Event)
	if !f.quiet {
		out := newNarrator(cmd.ErrOrStderr(), &lead{hive: f.job.HiveID == "", about: true})
		narrate = func(e messages.Event) {
			out.tell(e)
			f.told = f.told || e.Action == messages.ActionSpawnFailed
		}
	}
	if f.queue {
		return f.enqueue(cmd, client, hive, narrate)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout+answerTime)
	defer cancel()
	result, err := client.Spawn(ctx, hive, f.job, narrate)
	if err != nil {
		return f.explain(cmd, hive, result, err)
	}
	return f.deliver(cmd, result)
}

// complete fills the job with what follows from the flags, and refuses one that no hive would take.
func (f *spawnFlags) complete(now time.Time) error {
	switch {
	case f.job.Model == "":
		return cli.Usagef("--model is missing: name the model to serve, like meta-llama/Llama-3-8b")
	case f.timeout < 0:
		return cli.Usagef("--timeout: is %s; use more than 0", f.timeout)
	}
	if f.dryRun && (f.queue || f.ready) {
		return cli.Usagef("--dry-run starts nothing: leave out --queue and --wait")
	}
	f.job.Operation, f.asked = messages.WorkerSpawn, f.job.JobID
	f.job.JobID = cmp.Or(f.job.JobID, messages.NewJobID())
	f.wait = f.timeout
	if f.ready {
		f.timeout = cmp.Or(f.timeout, readyTimeout)
		f.job.Wait, f.job.ReadyTimeoutMS = messages.WaitReady, max(f.timeout.Milliseconds(), 1)
	}
	f.timeout = cmp.Or(f.timeout, spawnTimeout)
	f.job.Deadline = now.Add(f.timeout).UTC()
	if err := f.checkQueue(now); err != nil {
		return err
	}
	if err := f.job.Validate(); err != nil {
		text := messages.AsError(err).Message
		return cli.Usagef("--%s", strings.Replace(strings.Replace(text, "_", "-", 1), "hive-id", "hive", 1))
	}
	return nil
}

// chooseHive returns the hive that was named, or the only one that answers.
func (f *spawnFlags) chooseHive(ctx context.Context, client *queen.Client, subjects messages.Subjects) (string, error) {
	if f.job.HiveID != "" {
		return f.job.HiveID, nil
	}
	hives, err := client.Hives(ctx)
	if err != nil {
		return "", err
	}
	ids := hiveIDs(hives)
	switch len(ids) {
	case 0:
		return "", f.noHive(subjects)
	case 1:
		return ids[0], nil
	}
	return "", cli.Usagef("%d hives answer: choose one with --hive: %s", len(ids), strings.Join(ids, ", "))
}

// hiveIDs returns the ids of hives, each once, in order.
func hiveIDs(hives []queen.Hive) []string {
	var ids []string
	for _, hive := range hives {
		if !slices.Contains(ids, hive.ID) {
			ids = append(ids, hive.ID)
		}
	}
	return ids
}

// print writes the result.
func (f *spawnFlags) print(w io.Writer, r messages.Result) error {
	if f.output.JSON() {
		line, err := r.Encode()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", line)
		return err
	}
	from := r.Source
	if r.Version != "" {
		from += ", version " + r.Version
	}
	if r.Replayed {
		from += "; it ran before this job"
	}
	if r.Ended {
		from += " and has ended"
	}
	return cli.Table(w,
		[]string{"worker", cli.Printable(r.WorkerID)},
		[]string{"hive", cli.Printable(r.HiveID)},
		[]string{"pid", fmt.Sprint(r.PID)},
		[]string{"port", fmt.Sprint(r.Port)},
		[]string{"device", cli.Printable(r.Device)},
		[]string{"model", cli.Printable(r.Model)},
		[]string{"binary", cli.Printable(r.BinaryPath) + " (" + cli.Printable(from) + ")"},
		[]string{"log", cli.Printable(r.LogPath)},
		[]string{"job", cli.Printable(r.JobID)},
	)
}
