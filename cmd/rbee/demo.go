package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/devstack"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// demo is one showing: what it stands on, and what it must clear away.
type demo struct {
	*stage
	dir       string
	llmWorker string
	version   string
	log       *slog.Logger
	last      *lastWords

	stack  *devstack.Stack
	client *queen.Client
	done   func() // closes the client
	job    messages.Job
	result messages.Result
	worker *os.Process // nil until it runs and once it is gone
}

func demoCommand(version string, last *lastWords) *cobra.Command {
	var (
		llmWorker string
		log       *cli.Log
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show one worker from its job to its end",
		Long: `demo starts a fleet on this machine in a directory of its own, sends it a job, and shows what happens, in a few seconds. It
listens on free ports of 127.0.0.1 alone and leaves nothing behind, also when it is interrupted.`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Demo", func(fs *pflag.FlagSet) { addLLMWorker(fs, &llmWorker) })
	cli.Section(cmd, "Log", func(fs *pflag.FlagSet) { log = cli.AddLog(fs, slog.LevelError) })
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !fileExists(llmWorker) {
			return fmt.Errorf("the demo needs llm-worker, which is not at %s: build it there (make build) or name it with --llm-worker", llmWorker)
		}
		// A reader that goes away (| head) must not end the process before it has cleared away.
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGPIPE)
		defer stop()
		d := &demo{stage: newStage(cmd.OutOrStdout()), llmWorker: llmWorker, version: version, log: log.Logger(cmd.ErrOrStderr()), last: last}
		err := d.run(ctx)
		if err != nil && ctx.Err() != nil && cmd.Context().Err() == nil {
			return errors.New("what reads the output has gone")
		}
		return err
	}
	return cmd
}

// run shows every scene and clears away, whatever happens.
func (d *demo) run(ctx context.Context) (err error) {
	started := time.Now()
	if d.dir, err = os.MkdirTemp("", "rbee-demo-"); err != nil {
		return err
	}
	d.remember()
	defer d.last.set(nil)
	defer func() {
		if err = errors.Join(err, d.clearAway()); err == nil {
			d.say("%s", d.paint.Green(fmt.Sprintf("Nothing is left of it. It took %.1f s.", time.Since(started).Seconds())))
		}
	}()
	d.title("rbee demo: one worker, from its job to its end")
	for _, scene := range []func(context.Context) error{
		d.startFleet, d.sendJob, d.showResult, d.showHeartbeats, d.complete, d.refuse, d.restartHive,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	d.begin("The end: the worker gets SIGTERM, then hive, queen and NATS stop.")
	return d.endWorker(ctx)
}

// clearAway ends what still runs and removes the directory.
func (d *demo) clearAway() error {
	var errs []error
	if d.result.PID == 0 && d.stack != nil {
		d.worker = d.unanswered()
	}
	if d.worker != nil {
		errs = append(errs, d.endWorker(context.Background()))
	}
	if d.done != nil {
		d.done()
	}
	if d.stack != nil {
		errs = append(errs, d.stack.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// unanswered returns the worker of a job whose answer never came, as the queen knows it; nil if there is none that lives.
func (d *demo) unanswered() *os.Process {
	worker, ok := d.stack.Registry().Worker(d.job.WorkerID)
	if !ok || worker.PID == 0 || worker.State == queen.StateStopped {
		return nil
	}
	process, err := os.FindProcess(worker.PID)
	if err != nil {
		return nil
	}
	return process
}

// remember leaves word of what a second signal must clear away at once.
func (d *demo) remember() {
	dir, worker := d.dir, d.worker
	d.last.set(func() {
		if worker != nil {
			kill(worker)
		}
		_ = os.RemoveAll(dir)
	})
}

// endWorker tells the worker to end and returns once the hive says that it is gone.
func (d *demo) endWorker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	worker := d.worker
	d.worker = nil
	defer d.remember()
	narration, err := d.client.Watch(ctx, queen.Filter{Action: string(messages.ActionExited)})
	if err == nil {
		defer narration.Close()
		if err = worker.Signal(syscall.SIGTERM); errors.Is(err, os.ErrProcessDone) {
			return nil
		}
	}
	for err == nil {
		var event messages.Event
		if event, err = narration.Next(ctx); err == nil && event.WorkerID == d.result.WorkerID {
			d.narrator().tell(event)
			return nil
		}
	}
	kill(worker)
	return fmt.Errorf("end worker %s (pid %d): %w; it was killed", d.result.WorkerID, d.result.PID, err)
}

// kill ends a worker, which is a child of this process, and waits until it has gone.
func kill(worker *os.Process) {
	_ = worker.Kill()
	_, _ = worker.Wait() // fails if the hive of this process was faster, which is as good
}
