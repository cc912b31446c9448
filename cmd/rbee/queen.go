package main

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/devstack"
	"github.com/rbee-keeper/hive/queen"
)

func queenCommand() *cobra.Command {
	var (
		listen string
		log    *cli.Log
	)
	cmd := &cobra.Command{
		Use:   "queen",
		Short: "Keep the registry of workers",
		Long: `queen takes the heartbeats of workers over HTTP and tells which of them live (rbee workers), until it is interrupted. It keeps
them in memory alone: workers report again within 30 s.`,
		Example: `  rbee queen
  rbee queen --listen 0.0.0.0:8500`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Queen", func(fs *pflag.FlagSet) {
		fs.StringVar(&listen, "listen", "127.0.0.1:8500", "`host:port` to listen on; port 0 is a free one")
		cli.Variables(fs, map[string]string{"listen": "RBEE_QUEEN_LISTEN"})
	})
	cli.Section(cmd, "Log", func(fs *pflag.FlagSet) { log = cli.AddLog(fs, slog.LevelInfo) })
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, _, err := net.SplitHostPort(listen); err != nil {
			return cli.Usagef("--listen: write it like 127.0.0.1:8500")
		}
		listener, err := net.Listen("tcp", listen)
		if devstack.PortTaken(err) {
			return fmt.Errorf("%s is taken: stop what listens there, or pass another --listen", listen)
		}
		if err != nil {
			return fmt.Errorf("open %s: %w; check --listen", listen, err)
		}
		registry := queen.NewRegistry(queen.RegistryConfig{Logger: log.Logger(cmd.ErrOrStderr())})
		fmt.Fprintf(cmd.OutOrStdout(), "queen ready: http://%s\n", reachable(listener.Addr()))
		return devstack.ServeHTTP(cmd.Context(), listener, registry)
	}
	return cmd
}
