package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/consumer"
	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/process"
)

func serveCommand(version string) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Take jobs and start workers until told to stop",
		Long: `serve takes the jobs of this machine's hive until SIGTERM or SIGINT. It waits for NATS when NATS is away, and comes back
by itself. It takes requests, and the queued jobs of the work queue where there is one. Told to stop, it takes no more jobs, finishes those at work and ends; workers go on. Told twice, it ends at once.

Once it takes jobs it prints one line on stdout and, below systemd, reports that it is ready.`,
		Example: `  rbee-hive serve
  rbee-hive serve --hive-id gpu-1 --server nats://queen.example:4222 \
    --creds /etc/rbee/gpu-1.creds
  RBEE_HIVE_ID=gpu-1 NATS_URL=nats://queen.example:4222 rbee-hive serve`,
		Args: cobra.NoArgs,
	}
	s.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.check(); err != nil {
			return err
		}
		ctx := cmd.Context()
		err := serve(ctx, s, version, s.log.Logger(cmd.ErrOrStderr()), cmd.OutOrStdout())
		return cli.UntilInterrupted(ctx, err)
	}
	return cmd
}

// serve runs the hive until ctx ends. What is wrong on this machine ends it before NATS is waited for.
func serve(ctx context.Context, s settings, version string, log *slog.Logger, stdout io.Writer) error {
	leaveCores()
	survivePipes()
	hideEnvironment(log)
	keepDescriptors(log)
	subjects, err := messages.NewSubjects(s.prefix)
	if err != nil {
		return cli.Usagef("--subject-prefix: %w", err)
	}
	cfg, err := s.spawner(log)
	if err != nil {
		return err
	}
	var narrator *consumer.Narrator
	connected := make(chan struct{}) // closed once the narrator is there or will never be
	cfg.Logger = log
	cfg.Exited = func(event messages.Event) {
		<-connected
		if narrator != nil {
			narrator.Narrate(event)
		}
	}
	workers, err := spawner.New(cfg)
	if err != nil {
		return err
	}
	defer workers.Close()

	nc, err := natsconn.Connect(ctx, s.nats, natsconn.Options{
		Name: "rbee-hive " + s.hiveID, InboxPrefix: "_INBOX_hive-" + s.hiveID, Logger: log, Wait: true,
	})
	if err == nil {
		defer nc.Close()
		narrator = consumer.NewNarrator(nc, subjects, s.hiveID, log)
	}
	close(connected)
	if err != nil {
		return err
	}

	notify := newNotifier(ctx, log)
	defer notify.stop()
	ctx, stop := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer stop()
	return consumer.Run(ctx, nc, workers, consumer.Config{
		HiveID: s.hiveID, Subjects: subjects, Version: version, Logger: log,
		MaxJobs: s.maxJobs, MaxWaiting: orNone(s.maxWaiting), DrainTimeout: orNone(s.drainTimeout), Queue: s.queue.QueueMode,
		Machine: func(ctx context.Context) consumer.Machine {
			devices, problem := workers.Devices(ctx)
			return consumer.Machine{Devices: devices, Problem: problem, Workers: workers.Living()}
		},
		RunDir: process.Mark(s.runDir),
		Ready: func() {
			fmt.Fprintf(stdout, "rbee-hive %s ready: %s on %s\n", s.hiveID, subjects.Request(s.hiveID, messages.WorkerSpawn), nc.ConnectedUrlRedacted())
			notify.ready()
			asking.Go(func() { warnOfNamesakes(ctx, s, subjects, log) })
		},
	})
}

// orNone returns what the consumer takes for n: there 0 means the default and less means none.
func orNone[N int | time.Duration](n N) N {
	if n == 0 {
		return -1
	}
	return n
}
