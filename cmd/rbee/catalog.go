package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/show"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/queen"
)

func catalogCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "Show which workers are installed on the hives' machines",
		Long: `catalog asks hives which workers are installed on their machines. It changes nothing: installing is for the administrator of a
machine, with 'rbee-hive catalog'.`,
	}
	cmd.AddCommand(catalogLsCommand(), catalogDiffCommand())
	return cmd
}

func catalogLsCommand() *cobra.Command {
	var f fleet
	var hive string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the installed workers of a hive",
		Long: `ls lists the installed workers of a hive's machine, each from the highest version down. The note says which one a job gets that
names no version (chosen), which version is pinned, and why an entry is skipped.`,
		Example: `  rbee catalog ls --hive gpu-1
  rbee catalog ls --hive gpu-1 -o json |
    jq -r '.entries[] | select(.problem) | .problem'`,
		Args: cobra.NoArgs,
	}
	cli.Section(cmd, "Hive", func(fs *pflag.FlagSet) {
		fs.StringVar(&hive, "hive", "", "`id` of the hive (default the only one that answers)")
	})
	output := cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if hive != "" && messages.CheckID(hive) != nil {
			return cli.Usagef("--hive: %w", messages.CheckID(hive))
		}
		client, subjects, done, err := f.client(cmd)
		if err != nil {
			return err
		}
		defer done()
		chooser := spawnFlags{fleet: f, job: messages.Job{HiveID: hive}}
		if hive, err = chooser.chooseHive(cmd.Context(), client, subjects); err != nil {
			return err
		}
		page, err := client.Catalog(cmd.Context(), hive)
		if err != nil {
			return explainQuestion(hive, err)
		}
		if output.JSON() {
			return cli.WriteJSON(cmd.OutOrStdout(), page)
		}
		if len(page.Entries) == 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "Hive %s has no worker installed: its administrator can, with `rbee-hive catalog add`.\n", hive)
			return nil
		}
		return show.Catalog(cmd.OutOrStdout(), page.Entries)
	}
	return cmd
}

// difference is a version of a worker that two hives do not have alike.
type difference struct {
	Worker  string `json:"worker"`
	Version string `json:"version"`
	// Left and Right say what each hive has; nil is nothing.
	Left  *messages.CatalogEntry `json:"left"`
	Right *messages.CatalogEntry `json:"right"`
	// Differs names what is not alike: presence, checksum, problem, pinned, chosen, or platform.
	Differs []string `json:"differs"`
}

func catalogDiffCommand() *cobra.Command {
	var f fleet
	cmd := &cobra.Command{
		Use:   "diff HIVE HIVE",
		Short: "Compare the installed workers of two hives",
		Long: `diff lists the versions of workers that two hives do not have alike: one has it and the other has not, their programs have other
checksums, one is skipped, pinned, or what a job gets. It compares what is for one platform with what is for the same; of hives on
different platforms it does not compare checksums. The exit code is 1 if there is a difference, 0 if there is none.`,
		Example: `  rbee catalog diff gpu-1 gpu-2
  rbee catalog diff gpu-1 gpu-2 -o json | jq -r '.differences[].worker'`,
		Args: cobra.ExactArgs(2),
	}
	output := cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.ValidArgsFunction = f.completeArgs(2, findHives)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, hive := range args {
			if err := messages.CheckID(hive); err != nil {
				return cli.Usagef("hive id: %w", err)
			}
		}
		client, _, done, err := f.client(cmd)
		if err != nil {
			return err
		}
		defer done()
		left, right, err := bothCatalogs(cmd.Context(), client, args[0], args[1])
		if err != nil {
			return err
		}
		differences := compareCatalogs(left, right)
		if output.JSON() {
			err = cli.WriteJSON(cmd.OutOrStdout(), struct {
				Left        string       `json:"left"`
				Right       string       `json:"right"`
				Differences []difference `json:"differences"`
			}{args[0], args[1], differences})
		} else {
			err = printDifferences(cmd, args[0], args[1], differences)
		}
		if err == nil && len(differences) > 0 {
			err = cli.Exit(cli.ExitFailure, nil)
		}
		return err
	}
	return cmd
}

func bothCatalogs(ctx context.Context, client *queen.Client, first, second string) (left, right messages.CatalogPage, err error) {
	if left, err = client.Catalog(ctx, first); err != nil {
		return left, right, explainQuestion(first, err)
	}
	if right, err = client.Catalog(ctx, second); err != nil {
		return left, right, explainQuestion(second, err)
	}
	return left, right, nil
}

// compareCatalogs returns what two hives do not have alike, by worker and version.
func compareCatalogs(left, right messages.CatalogPage) []difference {
	type key struct{ worker, version, arch string }
	same := left.Platform == right.Platform
	index := func(page messages.CatalogPage) map[key]*messages.CatalogEntry {
		entries := make(map[key]*messages.CatalogEntry)
		for i, entry := range page.Entries {
			k := key{cmp.Or(entry.Worker, entry.Dir), entry.Version, entry.Arch}
			if !same {
				k.arch = "" // theirs are the same when each is for its own
			}
			if _, there := entries[k]; !there {
				entries[k] = &page.Entries[i]
			}
		}
		return entries
	}
	lefts, rights := index(left), index(right)
	keys := slices.Collect(maps.Keys(lefts))
	for k := range rights {
		if lefts[k] == nil {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.worker, b.worker), cmp.Compare(a.version, b.version), cmp.Compare(a.arch, b.arch))
	})
	differences := []difference{}
	for _, k := range keys {
		if differs := differing(lefts[k], rights[k], same); len(differs) > 0 {
			differences = append(differences, difference{Worker: k.worker, Version: k.version, Left: lefts[k], Right: rights[k], Differs: differs})
		}
	}
	return differences
}

// differing names what is not alike in two entries.
func differing(left, right *messages.CatalogEntry, samePlatform bool) []string {
	if left == nil || right == nil {
		return []string{"presence"}
	}
	var differs []string
	for _, one := range []struct {
		name  string
		alike bool
	}{
		{"checksum", !samePlatform || left.SHA256 == right.SHA256},
		{"problem", (left.Problem == "") == (right.Problem == "")},
		{"pinned", left.Pinned == right.Pinned},
		{"chosen", left.Chosen == right.Chosen},
	} {
		if !one.alike {
			differs = append(differs, one.name)
		}
	}
	return differs
}

func printDifferences(cmd *cobra.Command, left, right string, differences []difference) error {
	if len(differences) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "Hives %s and %s have the same workers installed.\n", left, right)
		return nil
	}
	rows := [][]string{{"WORKER", "VERSION", left, right}}
	for _, d := range differences {
		l, r := has(d.Left, d.Differs), has(d.Right, d.Differs)
		rows = append(rows, []string{cli.Printable(d.Worker), cli.Printable(cmp.Or(d.Version, "-")), l, r})
	}
	return cli.Table(cmd.OutOrStdout(), rows...)
}

// has says of one side's entry what the other side's is not.
func has(entry *messages.CatalogEntry, differs []string) string {
	if entry == nil {
		return "-"
	}
	words := map[string]string{}
	words["presence"] = "installed"
	words["checksum"] = "sha256 " + cmp.Or(entry.SHA256, "none")[:min(12, len(cmp.Or(entry.SHA256, "none")))]
	words["problem"] = oneLine(cmp.Or(entry.Problem, "sound"))
	words["pinned"] = map[bool]string{true: "pinned", false: "not pinned"}[entry.Pinned]
	words["chosen"] = map[bool]string{true: "chosen", false: "not chosen"}[entry.Chosen]
	text := ""
	for _, what := range differs {
		if text != "" {
			text += ", "
		}
		text += words[what]
	}
	if entry.Problem != "" && !slices.Contains(differs, "problem") {
		text += " (skipped)"
	}
	return text
}

// plan asks a hive what the job would start, and prints that.
func (f *spawnFlags) plan(cmd *cobra.Command, client *queen.Client, hive string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	f.job.JobID = f.asked
	plan, err := client.Explain(ctx, hive, f.job)
	if failure, ok := errors.AsType[*messages.Error](err); ok {
		return tellFailure(cmd, f.output, messages.Failure{HiveID: hive, Err: failure}, false, "")
	}
	if err != nil {
		return explainQuestion(hive, err)
	}
	if f.output.JSON() {
		line, err := plan.Encode()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
		return err
	}
	return show.Plan(cmd.OutOrStdout(), plan)
}
