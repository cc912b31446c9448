package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/internal/show"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/catalog"
)

func catalogCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "Install, list, verify and remove the workers of this machine",
		Long: `catalog is for the administrator of one machine: what it installs is what jobs can start here, and nothing else is. It works on
the catalog's directory alone, so no hive has to run, and one that runs sees each change at once.`,
	}
	cmd.AddCommand(catalogLs(), catalogShow(), catalogVerify(), catalogAdd(), catalogRm(), catalogPin(), catalogUnpin(), catalogExplain())
	return cmd
}

// shelf is the flags of a command about the catalog.
type shelf struct {
	dir    string
	output *cli.Output
}

func (s *shelf) addFlags(cmd *cobra.Command) {
	cli.Section(cmd, "Catalog", func(fs *pflag.FlagSet) {
		fs.StringVar(&s.dir, "catalog-dir", cacheDir(), "`directory` of installed workers")
	})
	cli.Variables(cmd.Flags(), map[string]string{"catalog-dir": variables["catalog-dir"]})
	s.output = cli.AddOutput(cmd)
}

// open returns the catalog.
func (s *shelf) open() (*catalog.Catalog, error) {
	if s.dir == "" {
		return nil, cli.Usagef("--catalog-dir: is missing: name the directory of installed workers")
	}
	return catalog.Open(s.dir), nil
}

// entries returns what the catalog holds of a worker and version; empty means of any.
func (s *shelf) entries(ctx context.Context, name, version string) ([]messages.CatalogEntry, error) {
	if _, err := s.open(); err != nil {
		return nil, err
	}
	explainer, err := spawner.NewExplainer(spawner.Config{HiveID: "-", CatalogDir: s.dir})
	if err != nil {
		return nil, err
	}
	defer func() { _ = explainer.Close() }()
	var found []messages.CatalogEntry
	for skip := 0; ; {
		page, err := explainer.Catalog(ctx, messages.CatalogRequest{Skip: skip})
		if err != nil {
			return nil, plain(err)
		}
		for _, entry := range page.Entries {
			if (name == "" || entry.Worker == name) && (version == "" || entry.Version == version) {
				found = append(found, entry)
			}
		}
		if skip = page.Next; skip == 0 {
			return found, nil
		}
	}
}

// plain returns an error of the spawner as people read it, without the code that programs do.
func plain(err error) error {
	if e, ok := errors.AsType[*messages.Error](err); ok {
		return errors.New(e.Message)
	}
	return err
}

// notThere returns an error of the catalog with the exit code that it means.
func notThere(err error) error {
	if _, ok := errors.AsType[*catalog.NotFoundError](err); ok {
		return cli.Exit(cli.ExitNotFound, err)
	}
	return err
}

// noSuch says that the catalog holds no such entry.
func (s *shelf) noSuch(name, version string) error {
	what := name
	if version != "" {
		what += " " + version
	}
	return cli.Exit(cli.ExitNotFound, fmt.Errorf("the catalog %s holds no %s: `rbee-hive catalog ls` shows what it holds", s.dir, what))
}

// arg returns the argument at an index, or "".
func arg(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

func catalogLs() *cobra.Command {
	var s shelf
	cmd := &cobra.Command{
		Use:   "ls [WORKER]",
		Short: "List the installed workers, and why some are skipped",
		Long: `ls lists the entries of the catalog that are meant for this machine, each worker from the highest version down. The note says
which one a job gets that names no version (chosen), which version is pinned, and why an entry is skipped. Checksums are not
computed: verify does that.`,
		Example: `  rbee-hive catalog ls
  rbee-hive catalog ls llama-server -o json |
    jq -r '.entries[] | select(.chosen) | .version'`,
		Args: cobra.MaximumNArgs(1),
	}
	s.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		entries, err := s.entries(cmd.Context(), arg(args, 0), "")
		switch {
		case err != nil:
			return err
		case s.output.JSON():
			return cli.WriteJSON(cmd.OutOrStdout(), struct {
				CatalogDir string                  `json:"catalog_dir"`
				Entries    []messages.CatalogEntry `json:"entries"`
			}{s.dir, append([]messages.CatalogEntry{}, entries...)})
		case len(entries) == 0 && len(args) > 0:
			return s.noSuch(args[0], "")
		case len(entries) == 0:
			fmt.Fprintf(cmd.ErrOrStderr(), "The catalog %s is empty. Install a worker with `rbee-hive catalog add`.\n", cli.Printable(s.dir))
			return nil
		}
		err = show.Catalog(cmd.OutOrStdout(), entries)
		if err == nil && slices.ContainsFunc(entries, func(e messages.CatalogEntry) bool { return e.SHA256 != "" && e.Problem == "" }) {
			fmt.Fprintln(cmd.ErrOrStderr(), "Not verified: whether a program was changed since it was installed, `rbee-hive catalog verify` says.")
		}
		return err
	}
	return cmd
}

func catalogShow() *cobra.Command {
	var s shelf
	cmd := &cobra.Command{
		Use:   "show WORKER [VERSION]",
		Short: "Show an entry and its manifest",
		Long:  "show prints what is known of an entry, and its manifest as it was read. Without a version it shows the entry that a job gets.",
		Example: `  rbee-hive catalog show llama-server
  rbee-hive catalog show llama-server b6795 -o json | jq .manifest.args`,
		Args: cobra.RangeArgs(1, 2),
	}
	s.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		installed, err := s.open()
		if err != nil {
			return err
		}
		entry, _, err := installed.Find(args[0], arg(args, 1))
		if err != nil {
			return notThere(err)
		}
		all, err := s.entries(cmd.Context(), entry.Name, entry.Version)
		if err != nil {
			return err
		}
		for _, told := range all {
			if told.Dir == entry.Dir {
				return s.show(cmd, told, entry.Manifest)
			}
		}
		return s.noSuch(entry.Name, entry.Version) // it went a moment ago
	}
	return cmd
}

func (s *shelf) show(cmd *cobra.Command, entry messages.CatalogEntry, manifest *catalog.Manifest) error {
	out := cmd.OutOrStdout()
	if s.output.JSON() {
		return cli.WriteJSON(out, struct {
			Entry    messages.CatalogEntry `json:"entry"`
			Manifest *catalog.Manifest     `json:"manifest,omitempty"`
		}{entry, manifest})
	}
	if err := show.Catalog(out, []messages.CatalogEntry{entry}); err != nil {
		return err
	}
	err := cli.Table(out, []string{"directory", cli.Printable(entry.Dir)}, []string{"binary", cli.Printable(entry.BinaryPath)},
		[]string{"sha256", cmp.Or(entry.SHA256, "- (the program is not compared with any)")})
	if err != nil || manifest == nil {
		return err
	}
	fmt.Fprintln(out, catalog.ManifestName)
	return writeIndented(out, manifest)
}
