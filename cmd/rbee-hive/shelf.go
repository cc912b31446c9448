package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func catalogAdd() *cobra.Command {
	var s shelf
	var what catalog.Addition
	cmd := &cobra.Command{
		Use:   "add FROM",
		Short: "Install a worker: a program, a directory, or a manifest alone",
		Long: `add copies a worker into the catalog: a program; a directory with a program, whatever it needs, and its manifest (worker.json) if
it has one; or a manifest alone, of a server that is installed elsewhere. The entry appears whole or not at all, whatever happens
meanwhile, and the checksum of its program is written into its manifest.

An entry never changes: a program that changed is a new version. Name and version may stand in the manifest instead.`,
		Example: `  rbee-hive catalog add ./cpu-llm-worker-rbee \
    --name cpu-llm-worker-rbee --version 0.2.0
  rbee-hive catalog add ./llama-b6795 --name llama-server --version b6795
  rbee-hive catalog add deploy/workers/vllm/worker.json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault), // files
	}
	cli.Section(cmd, "Entry", func(fs *pflag.FlagSet) {
		fs.StringVar(&what.Name, "name", "", "`name` of the worker (default what its manifest says)")
		fs.StringVar(&what.Version, "version", "", "`version`: semantic as 1.2.3, or a build's name as b6795 (default what its manifest says)")
		fs.BoolVar(&what.AnyArch, "any-arch", false, "install it for every architecture of this system, as a script")
	})
	s.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		installed, err := s.open()
		if err != nil {
			return err
		}
		what.From = args[0]
		entry, err := installed.Add(cmd.Context(), what)
		if err != nil {
			return err
		}
		if s.output.JSON() {
			entries, err := s.entries(cmd.Context(), entry.Name, entry.Version)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(entries, func(e messages.CatalogEntry) bool { return e.Dir == entry.Dir })
			if i < 0 {
				return s.noSuch(entry.Name, entry.Version)
			}
			return cli.WriteJSON(cmd.OutOrStdout(), entries[i])
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "installed %s %s in %s\n", entry.Name, entry.Version, cli.Printable(entry.Dir))
		return err
	}
	return cmd
}

// say prints what was done.
func (s *shelf) say(cmd *cobra.Command, answer any, format string, args ...any) error {
	if s.output.JSON() {
		return cli.WriteJSON(cmd.OutOrStdout(), answer)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), cli.Printable(fmt.Sprintf(format, args...)))
	return err
}

func catalogPin() *cobra.Command {
	var s shelf
	var previous bool
	cmd := &cobra.Command{
		Use:   "pin WORKER [VERSION]",
		Short: "Have jobs that name no version get this one, and nothing else",
		Long: `pin has jobs that name no version of a worker get this one, be it lower than others or a prerelease. Should it be removed or
broken some day, those jobs fail: a pin is never replaced by another version behind your back. A job that names a version gets that.

With --previous it rolls back: it pins the version below the one that jobs get now.`,
		Example: `  rbee-hive catalog pin llama-server b6795
  rbee-hive catalog pin llama-server --previous`,
		Args: cobra.RangeArgs(1, 2),
	}
	cli.Section(cmd, "Pin", func(fs *pflag.FlagSet) {
		fs.BoolVar(&previous, "previous", false, "pin the version below the one that jobs get now")
	})
	s.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		installed, err := s.open()
		if err != nil {
			return err
		}
		if previous == (len(args) == 2) {
			return cli.Usagef("name a version, or use --previous, and not both")
		}
		name, version := args[0], arg(args, 1)
		if previous {
			entry, err := installed.Previous(name)
			if err != nil {
				return cli.Exit(cli.ExitNotFound, err)
			}
			version = entry.Version
		}
		if err := installed.Pin(name, version); err != nil {
			return notThere(err)
		}
		return s.say(cmd, map[string]string{"worker": name, "version": version}, "pinned %s to %s", name, version)
	}
	return cmd
}

func catalogUnpin() *cobra.Command {
	var s shelf
	cmd := &cobra.Command{
		Use:     "unpin WORKER",
		Short:   "Have jobs that name no version get the highest again",
		Example: `  rbee-hive catalog unpin llama-server`,
		Args:    cobra.ExactArgs(1),
	}
	s.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		installed, err := s.open()
		if err != nil {
			return err
		}
		was, err := installed.Unpin(args[0])
		if err != nil {
			return err
		}
		if !was {
			return cli.Exit(cli.ExitNotFound, fmt.Errorf("no version of %s is pinned", args[0]))
		}
		return s.say(cmd, map[string]string{"worker": args[0]}, "unpinned %s", args[0])
	}
	return cmd
}

// verdict is what verify says of one entry.
type verdict struct {
	Dir     string `json:"dir"`
	Worker  string `json:"worker,omitempty"`
	Version string `json:"version,omitempty"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
}

// What verify finds.
const (
	isSound    = "ok"
	isUnknown  = "no_checksum" // sound as far as can be seen
	isMismatch = "checksum_mismatch"
	isBroken   = "broken"
)

func catalogVerify() *cobra.Command {
	var s shelf
	cmd := &cobra.Command{
		Use:   "verify [WORKER [VERSION]]",
		Short: "Compute the checksums anew and compare them",
		Long: `verify examines every entry, or those of one worker or version: it reads each program whole and compares its checksum with the one
in its manifest. An entry without one is no_checksum. The exit code is 1 if an entry is broken or was changed.`,
		Example: `  rbee-hive catalog verify
  rbee-hive catalog verify -o json |
    jq -r '.entries[] | select(.status != "ok") | .reason'`,
		Args: cobra.MaximumNArgs(2),
	}
	s.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		verdicts, err := s.verify(cmd, arg(args, 0), arg(args, 1))
		if err != nil {
			return err
		}
		if len(verdicts) == 0 && len(args) > 0 {
			return s.noSuch(args[0], arg(args, 1))
		}
		if s.output.JSON() {
			err = cli.WriteJSON(cmd.OutOrStdout(), struct {
				Entries []verdict `json:"entries"`
			}{append([]verdict{}, verdicts...)})
		} else {
			rows := [][]string{{"STATUS", "WORKER", "VERSION", "REASON"}}
			for _, v := range verdicts {
				rows = append(rows, []string{v.Status, cli.Printable(v.Worker), cli.Printable(v.Version), messages.OneLine(cli.Printable(v.Reason))})
			}
			err = cli.Table(cmd.OutOrStdout(), rows...)
		}
		bad := slices.ContainsFunc(verdicts, func(v verdict) bool { return v.Status == isMismatch || v.Status == isBroken })
		if err == nil && bad {
			err = cli.Exit(cli.ExitFailure, nil)
		}
		return err
	}
	return cmd
}

func (s *shelf) verify(cmd *cobra.Command, name, version string) ([]verdict, error) {
	installed, err := s.open()
	if err != nil {
		return nil, err
	}
	sound, broken, err := installed.List()
	if err != nil {
		return nil, err
	}
	wanted := func(worker, v string) bool { return (name == "" || worker == name) && (version == "" || v == version) }
	var verdicts []verdict
	for _, entry := range sound {
		if !wanted(entry.Name, entry.Version) {
			continue
		}
		v := verdict{Dir: entry.Dir, Worker: entry.Name, Version: entry.Version, Status: isSound}
		program, err := installed.Verify(cmd.Context(), entry)
		program.Close()
		switch _, mismatch := errors.AsType[*catalog.ChecksumError](err); {
		case cmd.Context().Err() != nil:
			return nil, cmd.Context().Err()
		case mismatch:
			v.Status, v.Reason = isMismatch, err.Error()
		case err != nil:
			v.Status, v.Reason = isBroken, err.Error()
		case entry.Manifest == nil || entry.Manifest.SHA256 == "":
			v.Status = isUnknown
		}
		verdicts = append(verdicts, v)
	}
	for _, b := range broken {
		worker, v, _ := catalog.ParseDir(b.Path)
		if wanted(worker, v) {
			verdicts = append(verdicts, verdict{Dir: b.Path, Worker: worker, Version: v, Status: isBroken, Reason: b.Err.Error()})
		}
	}
	return verdicts, nil
}
