package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// lookTime bounds how long a list waits for hives that do not answer.
const lookTime = 5 * time.Second

func workersCommand() *cobra.Command {
	cmd := listCommand("workers")
	cmd.Short = "List workers, and end them or read their logs"
	cmd.AddCommand(listCommand("ls"), getCommand(), removeCommand(), logsCommand())
	return cmd
}

// listFlags is what `rbee workers ls` is told.
type listFlags struct {
	fleet
	registry
	hive   string
	exited bool
	watch  bool
	output *cli.Output
}

func listCommand(name string) *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   name,
		Short: "List the workers that run and that are heard",
		Long: `It lists what the machines run, as their hives find it out at this moment, beside what the queen hears, which is what the
workers' heartbeats told her.

The column SEEN says where the two differ:

  runs, heard          all is well
  runs, not heard      it runs, and the queen has heard nothing of it for 90s: it still starts, hangs or cannot reach her
  heard, not running   the queen heard of it lately, and its hive does not run it: it has just ended, or nobody's hive started it
  runs                 it runs; the queen could not be asked
  heard                the queen hears it; its hive could not be asked
  ended                it does not run, and nothing is heard of it any more

Without --hive every hive is asked that answers. If the queen or a hive cannot be asked, the rest is listed. A narrow terminal gets
fewer columns. An id that a hive made is shortened, and get, rm and logs take it so. -o json has everything.`,
		Example: `  rbee workers
  rbee workers --hive gpu-1 --watch
  rbee workers -o json | jq '.workers[] | select(.seen != "both")'`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Workers", func(fs *pflag.FlagSet) {
		fs.StringVar(&f.hive, "hive", "", "only the workers of the hive with this `id` (default all that answer)")
		fs.BoolVar(&f.exited, "exited", false, "list the workers that have ended, too")
		fs.BoolVar(&f.watch, "watch", false, "go on, and draw the table anew when it changes")
	})
	f.output = cli.AddOutput(cmd)
	f.registry.addFlags(cmd)
	f.fleet.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd) }
	return cmd
}

func (f *listFlags) run(cmd *cobra.Command) error {
	if err := f.checkFlags(cmd.OutOrStdout()); err != nil {
		return err
	}
	l := &lister{listFlags: f, cmd: cmd}
	defer l.close()
	if f.watch {
		return l.watchTable()
	}
	known := l.look(cmd.Context())
	if cmd.Context().Err() != nil {
		return context.Cause(cmd.Context())
	}
	workers := known.join(f.hive, f.exited)
	if err := known.failure(f.hive, len(workers)); err != nil {
		return err
	}
	paint := cli.NewPaint(cmd.ErrOrStderr())
	for _, note := range known.notes() {
		fmt.Fprintln(cmd.ErrOrStderr(), paint.Yellow(note))
	}
	if f.output.JSON() {
		return cli.WriteJSON(cmd.OutOrStdout(), struct {
			Workers []seenWorker `json:"workers"`
		}{workers})
	}
	if len(workers) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "No worker runs, and none is heard. Start one with `rbee spawn`.")
		return nil
	}
	for _, line := range workerTable(workers, cli.NewPaint(cmd.OutOrStdout()), cli.Width(cmd.OutOrStdout())) {
		fmt.Fprintln(cmd.OutOrStdout(), line)
	}
	return nil
}

// checkFlags refuses flags that do not make sense.
func (f *listFlags) checkFlags(stdout io.Writer) error {
	if err := f.registry.check(); err != nil {
		return err
	}
	switch {
	case f.hive != "" && messages.CheckID(f.hive) != nil:
		return cli.Usagef("--hive: %w", messages.CheckID(f.hive))
	case f.watch && f.output.JSON():
		return cli.Usagef("--watch draws a table and -o json prints one answer: use one of them")
	case f.watch && !cli.IsTerminal(stdout):
		return cli.Usagef("--watch draws a table in place, which takes a terminal: without one, ask again, or follow `rbee watch`")
	}
	return nil
}

// lister looks at a fleet, once or again and again.
type lister struct {
	*listFlags
	cmd *cobra.Command

	hives *queen.Client // nil until NATS answers
	done  func()
}

func (l *lister) close() {
	if l.done != nil {
		l.done()
	}
}

// look asks the queen and the hives at the same time.
func (l *lister) look(ctx context.Context) truths {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var known truths
	var asked sync.WaitGroup
	asked.Go(func() { known.heard, known.deaf = l.registry.workers(ctx) })
	known.runs, known.blind = l.ask(ctx)
	asked.Wait()
	return known
}

// ask returns the workers of the hives that answer, and why others do not.
func (l *lister) ask(ctx context.Context) (map[string][]messages.Worker, []error) {
	if l.hives == nil {
		client, _, done, err := l.client(l.cmd)
		if err != nil {
			return nil, []error{err}
		}
		l.hives, l.done = client, done
	}
	ids, err := l.choose(ctx)
	if err != nil {
		return nil, []error{err}
	}
	var (
		mu    sync.Mutex
		runs  = map[string][]messages.Worker{}
		blind []error
		asked sync.WaitGroup
	)
	for _, hive := range ids {
		asked.Go(func() {
			workers, err := l.hives.Workers(ctx, hive, messages.ListRequest{Exited: l.exited})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				blind = append(blind, explainQuestion(hive, err))
				return
			}
			runs[hive] = workers
		})
	}
	asked.Wait()
	return runs, blind
}

// choose returns the hives to ask.
func (l *lister) choose(ctx context.Context) ([]string, error) {
	if l.hive != "" {
		return []string{l.hive}, nil
	}
	found, err := l.hives.Hives(ctx)
	if err != nil {
		return nil, err
	}
	ids := hiveIDs(found)
	if len(ids) == 0 {
		subjects, _ := messages.NewSubjects(l.prefix)
		return nil, l.noHive(subjects)
	}
	return ids, nil
}

// reachable returns the address of a listener as a client on this machine writes it.
func reachable(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return address.String()
	}
	return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
}
