package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// oneWorker is the flags of a command about one worker: where it is, and how to print what comes of it.
type oneWorker struct {
	fleet
	registry
	hive     string
	output   *cli.Output
	madeOnly bool // only an id that a hive made may be shortened: what is done to a worker cannot be undone
}

func (f *oneWorker) addFlags(cmd *cobra.Command) {
	cli.Section(cmd, "Worker", func(fs *pflag.FlagSet) {
		fs.StringVar(&f.hive, "hive", "", "`id` of its hive (default the one that knows it)")
	})
	f.output = cli.AddOutput(cmd)
	f.registry.addFlags(cmd)
	f.fleet.addFlags(cmd)
}

// connect finds the worker, whose id may be shortened, and its hive, and connects to its fleet.
func (f *oneWorker) connect(cmd *cobra.Command, worker string) (client *queen.Client, at place, done func(), err error) {
	if err := messages.CheckID(worker); err != nil {
		return nil, at, nil, cli.Usagef("worker id: %w", err)
	}
	if f.hive != "" && messages.CheckID(f.hive) != nil {
		return nil, at, nil, cli.Usagef("--hive: %w", messages.CheckID(f.hive))
	}
	at, unheard := place{f.hive, worker}, error(nil)
	if f.hive == "" {
		if err := f.registry.check(); err != nil {
			return nil, at, nil, err
		}
		at.hive, unheard = f.hear(cmd.Context(), worker)
	}
	client, _, done, err = f.client(cmd)
	if err != nil {
		return nil, at, nil, cmp.Or(unheard, err)
	}
	if at, err = f.locate(cmd, client, at, unheard); err != nil {
		done()
		return nil, at, nil, err
	}
	return client, at, done, nil
}

// locate returns where the worker is: there if it was named or the queen knew it, where a hive says so, or where the only one is whose id
// begins with the one that was given.
func (f *oneWorker) locate(cmd *cobra.Command, client *queen.Client, at place, unheard error) (place, error) {
	switch {
	case unheard == nil && (f.hive == "" || !shortened.MatchString(at.worker)):
		return at, nil
	case unheard != nil:
		if at.hive = search(cmd.Context(), client, at.worker); at.hive != "" {
			return at, nil
		}
	}
	whole, err := f.expand(cmd, client, at.worker)
	switch {
	case err != nil:
		return at, err
	case whole.worker != "" && messages.CheckID(whole.hive) == nil:
		return whole, nil
	}
	return at, unheard
}

// search returns the hive that knows the worker, since not every worker reports to the queen; "" if none that answers does.
func search(ctx context.Context, client *queen.Client, worker string) string {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	hives, err := client.Hives(ctx)
	if err != nil { // why the queen did not know it is the error that counts
		return ""
	}
	for _, hive := range hiveIDs(hives) {
		if _, err := client.Worker(ctx, hive, worker); err == nil {
			return hive
		}
	}
	return ""
}

// hear returns the hive that the queen knows of.
func (f *oneWorker) hear(ctx context.Context, worker string) (string, error) {
	const how = "name its hive with --hive (`rbee workers` shows which it is, `rbee hives` which there are)"
	heard, known, err := f.registry.worker(ctx, worker)
	switch {
	case err != nil:
		return "", fmt.Errorf("look up the hive of %s: %w; or %s", worker, err, how)
	case !known:
		return "", cli.Exit(cli.ExitNotFound, fmt.Errorf("neither the queen nor a hive that answers knows worker %s: %s", worker, how))
	case messages.CheckID(heard.HiveID) != nil:
		return "", cli.Exit(cli.ExitNotFound, fmt.Errorf("worker %s does not tell the queen which hive started it: %s", worker, how))
	}
	return heard.HiveID, nil
}

// explain turns the error of a question into what the user reads and the exit code that a script reads.
func (f *oneWorker) explain(cmd *cobra.Command, hive string, err error) error {
	if failure, ok := errors.AsType[*messages.Error](err); ok {
		return tellFailure(cmd, f.output, messages.Failure{HiveID: hive, Err: failure}, false, "")
	}
	return explainQuestion(hive, err)
}

// explainQuestion returns the error of a question to a hive, with the hive in it and with its exit code.
func explainQuestion(hive string, err error) error {
	if noHive, ok := errors.AsType[*queen.NoHiveError](err); ok {
		return cli.Exit(cli.ExitNoHive, noHive)
	}
	if failure, ok := errors.AsType[*messages.Error](err); ok {
		return fmt.Errorf("hive %s answers: %w", hive, failure)
	}
	return err
}

func getCommand() *cobra.Command {
	var f oneWorker
	cmd := &cobra.Command{
		Use:   "get WORKER",
		Short: "Tell all that a hive knows of one worker",
		Long: `get asks the worker's hive what is true of it at this moment; also of one that has ended, as long as that is remembered. If
there is none, the exit code is 3.

The beginning of its id is enough, as tables show it, if no other worker's begins with it.`,
		Example: `  rbee workers get worker-abc123
  rbee workers get worker-77ac93c4
  rbee workers get worker-abc123 --hive gpu-1 -o json | jq .worker.state`,
		Args: cobra.ExactArgs(1),
	}
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeWorker(findWorkers(&f.hive, true))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, at, done, err := f.connect(cmd, args[0])
		if err != nil {
			return err
		}
		defer done()
		worker, err := client.Worker(cmd.Context(), at.hive, at.worker)
		if err != nil {
			return f.explain(cmd, at.hive, err)
		}
		if f.output.JSON() {
			return cli.WriteJSON(cmd.OutOrStdout(), messages.WorkerAnswer{HiveID: at.hive, Worker: worker})
		}
		return printWorker(cmd.OutOrStdout(), at.hive, worker)
	}
	return cmd
}

// printWorker writes what is known of a worker.
func printWorker(w io.Writer, hive string, worker messages.Worker) error {
	var rows [][]string
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, oneLine(value)})
		}
	}
	add("worker", worker.WorkerID)
	add("hive", hive)
	add("state", string(worker.State))
	add("ended", ending(worker))
	add("pid", number(worker.PID))
	add("port", number(worker.Port))
	add("device", worker.Device)
	add("model", worker.Model)
	add("binary", worker.BinaryPath+" ("+strings.TrimSpace(worker.Worker+" "+worker.Version)+")")
	if !worker.StartedAt.IsZero() {
		add("started", worker.StartedAt.Format(time.RFC3339))
	}
	add("up", span(worker.UptimeMS))
	add("memory", size(worker.RSSBytes))
	if worker.Processes > 0 {
		add("cpu", (time.Duration(worker.CPUMS) * time.Millisecond).String())
		add("processes", fmt.Sprintf("%d, with %d threads", worker.Processes, worker.Threads))
	}
	add("log", worker.LogPath)
	add("job", worker.JobID)
	if worker.Failure != nil {
		add("failure", worker.Failure.Error())
	}
	if err := cli.Table(w, rows...); err != nil || worker.Failure == nil {
		return err
	}
	_, err := io.WriteString(w, details(worker.Failure))
	return err
}

// ending says how a worker ended, as far as that is known; nothing if it runs.
func ending(worker messages.Worker) string {
	if worker.State != messages.StateExited {
		return ""
	}
	how := "nobody knows how"
	switch {
	case worker.ExitCode != nil:
		how = fmt.Sprintf("with code %d", *worker.ExitCode)
	case worker.Signal != "":
		how = "by " + worker.Signal
	}
	if worker.OOMKilled {
		how += ", because memory ran out"
	}
	if !worker.EndedAt.IsZero() {
		how += ", " + worker.EndedAt.Format(time.RFC3339)
	}
	return how
}
