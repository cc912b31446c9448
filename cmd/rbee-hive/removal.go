package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

func catalogRm() *cobra.Command {
	var s shelf
	var dir string
	var force bool
	cmd := &cobra.Command{
		Use:   "rm WORKER VERSION",
		Short: "Remove a version of a worker",
		Long: `rm removes the entries of one version of a worker. It refuses what is pinned, and what runs: it looks for living workers in the
hive's run directory, and in /run/rbee-hive, unless --run-dir names one. Root may look into another user's. With --force it removes both all the same, and the pin. Workers that run go on in any case; what they open
later from their entry's directory is gone.`,
		Example: `  rbee-hive catalog rm llama-server b6795`,
		Args:    cobra.ExactArgs(2),
	}
	cli.Section(cmd, "Hive", func(fs *pflag.FlagSet) {
		fs.StringVar(&dir, "run-dir", runDir(), "`directory` of the hive's locks and records, which say what runs")
		fs.BoolVar(&force, "force", false, "remove it although it is pinned or runs")
	})
	cli.Variables(cmd.Flags(), map[string]string{"run-dir": variables["run-dir"]})
	s.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		installed, err := s.open()
		if err != nil {
			return err
		}
		name, version := args[0], args[1]
		named := cmd.Flags().Changed("run-dir")
		dirs, err := installed.Dirs(name, version)
		if err != nil {
			return notThere(err)
		}
		pins, err := installed.Pins()
		if err != nil {
			return err
		}
		if !force {
			runDirs := runDirs(dir, named)
			if err := mayGo(name, version, pins[name] == version, runDirs); err != nil {
				return err
			}
			if !slices.ContainsFunc(runDirs, isDir) {
				fmt.Fprintf(cmd.ErrOrStderr(), "There is no run directory %s, so no worker runs, or its hive has another: --run-dir names it.\n", cli.Printable(strings.Join(runDirs, " or ")))
			}
		}
		unpinned, err := installed.Remove(name, version, force)
		if errors.Is(err, catalog.ErrPinned) { // a moment ago
			err = errPinned(name, version)
		}
		if err != nil {
			return notThere(err)
		}
		return s.say(cmd, map[string]any{"removed": dirs, "unpinned": unpinned}, "removed %s", strings.Join(dirs, ", "))
	}
	return cmd
}

// unitRunDir is the run directory of a hive that systemd runs by the unit of ours.
var unitRunDir = "/run/rbee-hive"

// runDirs returns where the hive of this machine may keep what runs.
func runDirs(dir string, named bool) []string {
	if named || dir == unitRunDir {
		return []string{dir}
	}
	return []string{dir, unitRunDir}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func errPinned(name, version string) error {
	return fmt.Errorf("%s %s is pinned: jobs would fail without it; unpin it first, or use --force, which does both", name, version)
}

// mayGo returns an error if a version is pinned or a worker of it runs.
func mayGo(name, version string, pinned bool, runDirs []string) error {
	if pinned {
		return errPinned(name, version)
	}
	var users []string
	for _, dir := range runDirs {
		running, err := spawner.Running(dir)
		if err != nil {
			return fmt.Errorf("whether a worker of %s %s runs cannot be known: %w; run this as the hive's user or as root, name its --run-dir, or use --force", name, version, err)
		}
		for _, r := range running {
			if r.Worker == "" || r.Worker == name && r.Version == version {
				users = append(users, r.WorkerID)
			}
		}
	}
	if len(users) > 0 {
		return fmt.Errorf("%s %s runs or is being started as %s: delete the workers first (`rbee workers rm`), or use --force, which lets them go on", name, version, strings.Join(users, ", "))
	}
	return nil
}
