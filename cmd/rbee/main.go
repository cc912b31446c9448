// Command rbee is the operator's hand: it sends jobs to hives, shows what they tell, and runs a whole fleet on one machine
// to try things out.
package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=v0.1.0".
var version string

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. Results go to stdout, in a form that scripts can read; narration, logs and errors to stderr. Package
// cli has the rest of the policy.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	last := newLastWords()
	ctx, stop := cli.WithSignals(ctx, last.speak)
	defer stop()
	return cli.Run(ctx, rootCommand(last), args, stdin, stdout, stderr)
}

func rootCommand(last *lastWords) *cobra.Command {
	root := &cobra.Command{
		Use:   "rbee",
		Short: "Start inference workers on the machines of a fleet, and watch them",
		Long: `rbee asks hives, the agents on the machines of a fleet, to start inference workers, and shows what happens.

To see everything at work on this machine: rbee demo. To try it yourself: rbee dev.

Exit codes: 0 done, 1 failure, 2 wrong usage, 3 not found (worker, device, job), 4 no hive answered, 130 interrupted before
it was done. Commands that run until they are interrupted (watch, queen, dev) end with 0 then.`,
	}
	build := cli.VersionOf("rbee", version)
	root.AddCommand(
		spawnCommand(), watchCommand(), hivesCommand(), workersCommand(), catalogCommand(), jobsCommand(), streamsCommand(), queenCommand(),
		devCommand(build.Version), demoCommand(build.Version, last), cli.VersionCommand(build), connectionTopic(),
	)
	return root
}
