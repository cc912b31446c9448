package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/devstack"
	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// The ports that `rbee dev` takes unless told otherwise: where every other command looks by itself.
const (
	devNATSPort  = 4222
	devQueenPort = 8500
)

// workerVersion is the version under which dev and demo install the worker that comes with rbee.
const workerVersion = "0.1.0"

// devFlags is what `rbee dev` is told.
type devFlags struct {
	dir                 string
	hiveID              string
	natsPort, queenPort int
	ports               devstack.PortRange
	llmWorker           string
	devRoot             string
	log                 *cli.Log
}

func devCommand(version string) *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole fleet on this machine to try things out",
		Long: `dev runs NATS, a queen and a hive in one process, and shows what the hive tells, until it is interrupted. Workers are
processes of their own: they outlive it, and the next dev with the same state directory finds them again.

Without an installed worker it installs llm-worker, which comes with rbee and generates text without a model. With --dev-root the
hive runs what is in a development tree and nothing else: a job first builds its worker there, if that is older than its sources.`,
		Example: `  rbee dev
  rbee dev --dev-root ~/src/workers
  rbee dev --nats-port 0 --queen-port 0 --state-dir /tmp/fleet`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Fleet", func(fs *pflag.FlagSet) {
		fs.StringVar(&f.dir, "state-dir", stateDir(), "`directory` of streams, installed workers, locks and logs")
		fs.StringVar(&f.hiveID, "hive-id", "local", "`id` of the hive")
		fs.IntVar(&f.natsPort, "nats-port", devNATSPort, "`port` of NATS; 0 is a free one")
		fs.IntVar(&f.queenPort, "queen-port", devQueenPort, "`port` of the queen's registry; 0 is a free one")
		fs.Var(&f.ports, "port-range", "ports of workers whose job names none")
		addLLMWorker(fs, &f.llmWorker)
		fs.StringVar(&f.devRoot, "dev-root", "", "`directory` of a development tree to take workers from, built when they are older than their sources")
		cli.Variables(fs, map[string]string{"state-dir": "RBEE_STATE_DIR", "dev-root": "RBEE_DEV_ROOT", "port-range": "RBEE_PORT_RANGE"})
	})
	cli.Section(cmd, "Log", func(fs *pflag.FlagSet) { f.log = cli.AddLog(fs, slog.LevelWarn) })
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return cli.UntilInterrupted(cmd.Context(), f.run(cmd.Context(), version, cmd.OutOrStdout(), cmd.ErrOrStderr()))
	}
	return cmd
}

// run keeps the fleet up until ctx ends.
func (f *devFlags) run(ctx context.Context, version string, stdout, stderr io.Writer) (err error) {
	switch {
	case f.dir == "":
		return cli.Usagef("--state-dir is missing: name a directory to keep state in")
	case messages.CheckID(f.hiveID) != nil:
		return cli.Usagef("--hive-id: %w", messages.CheckID(f.hiveID))
	}
	if f.dir, err = filepath.Abs(f.dir); err != nil {
		return err
	}
	installed := f.devRoot != "" || devstack.CanServe(f.dir)
	if !installed && fileExists(f.llmWorker) {
		if err := devstack.Install(f.dir, f.llmWorker, workerVersion); err != nil {
			return err
		}
		installed = true
	}
	stack, err := devstack.Start(ctx, devstack.Config{
		Dir: f.dir, HiveID: f.hiveID, Version: version, NATSPort: f.natsPort, QueenPort: f.queenPort,
		Ports: f.ports, DevRoot: f.devRoot, Logger: f.log.Logger(stderr),
	})
	if devstack.PortTaken(err) {
		return fmt.Errorf("%w; ports are set by --nats-port (%d) and --queen-port (%d)", err, f.natsPort, f.queenPort)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Stop()) }()
	watched, err := watchStack(ctx, stack, stderr)
	if err != nil {
		return err
	}
	defer watched()
	f.greet(stdout, stack, installed)
	err = stack.Wait(ctx)
	f.farewell(stdout, stack)
	return err
}

// watchStack shows what the hive tells until stop is called.
func watchStack(ctx context.Context, stack *devstack.Stack, w io.Writer) (stop func(), err error) {
	client, done, err := stackClient(ctx, stack)
	if err != nil {
		return nil, err
	}
	narration, err := client.Watch(ctx, queen.Filter{})
	if err != nil {
		done()
		return nil, err
	}
	out := newNarrator(w, &lead{clock: true, about: true})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for event, err := range narration.Events(context.WithoutCancel(ctx)) {
			if err == nil {
				out.tell(event)
			}
		}
	}()
	return func() {
		narration.Close()
		<-ended
		done()
	}, nil
}

// stackClient connects to the NATS server of a stack in this process.
func stackClient(ctx context.Context, stack *devstack.Stack) (*queen.Client, func(), error) {
	nc, err := natsconn.Connect(ctx, natsconn.Config{Server: stack.NATSURL()}, natsconn.Options{Name: "rbee"})
	if err != nil {
		return nil, nil, err
	}
	return queen.New(nc, queen.Config{}), nc.Close, nil
}

// greet says what runs where and what to type next.
func (f *devFlags) greet(w io.Writer, stack *devstack.Stack, installed bool) {
	paint := cli.NewPaint(w)
	fmt.Fprintf(w, "%s NATS, a queen and the hive '%s' run in this process.\n\n", paint.Bold("rbee dev is ready."), stack.HiveID())
	_ = cli.Table(w,
		[]string{"  NATS", stack.NATSURL()},
		[]string{"  queen", stack.QueenURL()},
		[]string{"  state", f.dir},
	)
	if !installed {
		fmt.Fprintf(w, "\n%s Build llm-worker beside rbee (make build) and start again, or put a worker into\n%s.\n",
			paint.Yellow("No worker is installed."), devstack.CatalogDir(f.dir))
	}
	fmt.Fprintln(w, "\nIn another terminal:")
	if f.natsPort != devNATSPort || f.queenPort != devQueenPort {
		fmt.Fprintln(w, "  "+paint.Cyan(fmt.Sprintf("export %s=%s RBEE_QUEEN_URL=%s", natsconn.Variables["server"], stack.NATSURL(), stack.QueenURL())))
	}
	spawn := "spawn --model tiny --wait"
	if f.devRoot != "" {
		spawn += " --timeout 10m"
	}
	for _, line := range []string{spawn, "workers", "watch"} {
		fmt.Fprintln(w, "  "+paint.Cyan(calledAs()+" "+line))
	}
	fmt.Fprintf(w, "\nCtrl-C stops it.\n")
}

// farewell says what becomes of the workers, and names those that the queen has heard of.
func (f *devFlags) farewell(w io.Writer, stack *devstack.Stack) {
	fmt.Fprintln(w, "\nWorkers go on, and the next `rbee dev` finds them again. `kill PID` ends one.")
	for _, worker := range stack.Registry().Workers() {
		if worker.State != queen.StateStopped && worker.State != queen.StateGone {
			fmt.Fprintf(w, "  %s  pid %d  port %d  %s\n", cli.Printable(worker.ID), worker.PID, worker.Port, cli.Printable(worker.ModelID))
		}
	}
}

// addLLMWorker adds the flag that says where llm-worker is.
func addLLMWorker(fs *pflag.FlagSet, path *string) {
	fs.StringVar(path, "llm-worker", besideRbee("llm-worker"), "`file` of the worker to install (default llm-worker beside rbee)")
	fs.Lookup("llm-worker").DefValue = "" // said in words: the path may be long
}

// besideRbee returns the path of a program in the directory of this one.
func besideRbee(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	return filepath.Join(filepath.Dir(self), name+filepath.Ext(self))
}

func fileExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// stateDir returns where `rbee dev` keeps its state.
func stateDir() string {
	state := os.Getenv("XDG_STATE_HOME")
	if home := cli.HomeDir(); state == "" && home != "" {
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(cmp.Or(state, os.TempDir()), "rbee", "dev")
}

// calledAs returns what a person types to run this program: its name if the shell finds it by that, else its path.
func calledAs() string {
	const name = "rbee"
	self, err := os.Executable()
	if err != nil {
		return name
	}
	if found, err := exec.LookPath(name); err == nil {
		here, err1 := os.Stat(self)
		there, err2 := os.Stat(found)
		if err1 == nil && err2 == nil && os.SameFile(here, there) {
			return name
		}
	}
	return self
}
