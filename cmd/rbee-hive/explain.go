package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/show"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

func catalogExplain() *cobra.Command {
	var s settings
	job := messages.Job{Operation: messages.WorkerSpawn, DryRun: true}
	cmd := &cobra.Command{
		Use:   "explain --model MODEL",
		Short: "Say what a job would start, and why, without starting it",
		Long: `explain prints what a job would start on this machine: the program and why it is that one, its whole argument vector and environment,
and how it would be asked for its health and stopped. Nothing is started. It reads the flags and variables of serve: run it with
those of the hive, as the hive's user. A value that could be a secret is shown as ….

'rbee spawn --dry-run' asks a hive that runs the same.`,
		Example: `  rbee-hive catalog explain --device cuda:0 --model meta-llama/Llama-3-8b
  rbee-hive catalog explain --worker llama-server \
    --model /srv/models/tiny.gguf -o json | jq .args`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Job", func(fs *pflag.FlagSet) {
		fs.StringVar(&job.Model, "model", "", "`model` of the job (required)")
		fs.StringVar(&job.Device, "device", "cpu", "`device` of the job: cpu, cuda:N or metal")
		fs.StringVar(&job.Worker, "worker", "", "`name` of the worker (default the device's own)")
		fs.StringVar(&job.Version, "version", "", "`version` of the worker (default the pinned one, or the highest)")
		fs.IntVar(&job.Port, "port", 0, "TCP `port` of the job; 0 leaves it open")
		fs.StringVar(&job.WorkerID, "worker-id", "", "`id` of the worker (default left open)")
		fs.StringVar(&job.JobID, "job-id", "", "`id` of the job (default left open)")
	})
	output := cli.AddOutput(cmd)
	s.addFlags(cmd)
	cli.Elsewhere(cmd, "It takes every flag and variable of serve, too: 'rbee-hive serve --help'.", "Hive", "Workers", "Development builds", "NATS", "Log")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.check(); err != nil {
			return err
		}
		if err := job.Validate(); err != nil {
			return cli.Usagef("--%s", strings.Replace(messages.AsError(err).Message, "_", "-", 1))
		}
		cfg, err := s.spawner(s.log.Logger(cmd.ErrOrStderr()))
		if err != nil {
			return err
		}
		return explain(cmd, cfg, job, output)
	}
	return cmd
}

// explain prints what the job would start.
func explain(cmd *cobra.Command, cfg spawner.Config, job messages.Job, output *cli.Output) error {
	explainer, err := spawner.NewExplainer(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = explainer.Close() }()
	plan, err := explainer.Explain(cmd.Context(), job)
	if err != nil {
		return refused(messages.AsError(err))
	}
	if output.JSON() {
		line, err := plan.Encode()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
		return err
	}
	return show.Plan(cmd.OutOrStdout(), plan)
}

// refused returns why a job would start nothing, with the exit code that it means.
func refused(e *messages.Error) error {
	code := cli.ExitFailure
	switch e.Code {
	case messages.WorkerNotInstalled, messages.DeviceNotFound:
		code = cli.ExitNotFound
	}
	return cli.Exit(code, errors.New(e.Error()))
}
