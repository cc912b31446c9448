package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

// fleet is the flags that say which fleet to talk to, and how to log.
type fleet struct {
	nats   natsconn.Config
	prefix string
	log    *cli.Log
}

// addFlags adds the flags to a command that talks to hives. Its --help says where they are explained. A flag --hive that is there
// already is completed by asking the fleet.
func (f *fleet) addFlags(cmd *cobra.Command) {
	f.define(cmd)
	if cmd.Flags().Lookup("hive") != nil {
		_ = cmd.RegisterFlagCompletionFunc("hive", f.complete(findHives))
	}
	cli.Elsewhere(cmd, "The flags for the connection to NATS (--server, --context, --creds, …) and for logs: 'rbee help connection'.", "NATS", "Log")
}

// connectionTopic returns the page of the help that explains the flags.
func connectionTopic() *cobra.Command {
	return cli.Topic("connection", "How to reach the fleet: the flags for NATS and for logs",
		`rbee reaches hives over NATS. Every command that talks to them takes the flags below; each can stand in the environment variable
behind it instead, and a flag wins over its variable.

Without any, rbee connects to `+natsconn.DefaultServer+` as nobody in particular. A fleet that is not on this machine is most easily reached by a
context of the nats command line: made once with 'nats context add', it holds server and credentials, and --context or NATS_CONTEXT
names it.

Shells complete the ids of hives, workers and jobs by asking the fleet for them, for half a second, and for workers 1.5 seconds;
`+cli.CompletionTimeout+` gives a slow network more ('rbee help completion' says how a shell learns it).`,
		new(fleet).define)
}

// define adds the flags.
func (f *fleet) define(cmd *cobra.Command) {
	cli.Section(cmd, "NATS", func(fs *pflag.FlagSet) {
		f.nats.AddFlags(fs)
		fs.StringVar(&f.prefix, "subject-prefix", messages.DefaultPrefix, "`words` that every subject begins with")
	})
	cli.Section(cmd, "Log", func(fs *pflag.FlagSet) { f.log = cli.AddLog(fs, slog.LevelWarn) })
	cli.Variables(cmd.Flags(), natsconn.Variables)
	cli.Variables(cmd.Flags(), map[string]string{"subject-prefix": "RBEE_SUBJECT_PREFIX"})
}

// client connects and returns a client of the fleet, the names of its subjects, and what closes the connection.
func (f *fleet) client(cmd *cobra.Command) (*queen.Client, messages.Subjects, func(), error) {
	subjects, err := messages.NewSubjects(f.prefix)
	if err != nil {
		return nil, subjects, nil, cli.Usagef("--subject-prefix: %w", err)
	}
	if err := f.nats.Validate(); err != nil {
		return nil, subjects, nil, cli.Exit(cli.ExitUsage, err)
	}
	nc, err := natsconn.Connect(cmd.Context(), f.nats, natsconn.Options{Name: cmd.CommandPath(), Logger: f.log.Logger(cmd.ErrOrStderr())})
	if err != nil {
		return nil, subjects, nil, err
	}
	return queen.New(nc, queen.Config{Subjects: subjects}), subjects, nc.Close, nil
}

// noHive says that nobody answered at all, and what to do about it.
func (f *fleet) noHive(subjects messages.Subjects) error {
	return cli.Exit(cli.ExitNoHive, fmt.Errorf("no hive answers below %s at %s: start one with `rbee-hive serve` on its machine, or try it here with `rbee dev`",
		subjects.Prefix(), f.nats))
}
