// Command rbee-hive is the hive of one machine: it takes the jobs addressed to it over NATS, starts workers, answers and
// narrates. It keeps nothing; workers outlive it.
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

// run is the whole program. The ready line and results go to stdout, the log and errors to stderr; see package cli.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := cli.WithSignals(ctx, nil)
	defer stop()
	return cli.Run(ctx, rootCommand(), args, stdin, stdout, stderr)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "rbee-hive",
		Short: "Starts inference workers on this machine, on request over NATS",
		Long: `rbee-hive is the hive of one machine: it takes the jobs that are addressed to it over NATS, starts a worker for each,
answers, and tells the story on the way. It keeps nothing: stop it and its workers go on, start it and it finds them again.

Exit codes: 0 stopped as asked, 1 failure, 2 wrong usage, 3 not found in the catalog, 130 ended at once by a second signal.`,
	}
	build := cli.VersionOf("rbee-hive", version)
	root.AddCommand(serveCommand(build.Version), doctorCommand(), catalogCommand(), cli.VersionCommand(build), connectionTopic())
	return root
}
