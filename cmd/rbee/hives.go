package main

import (
	"cmp"
	"time"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/queen"
)

func hivesCommand() *cobra.Command {
	var f fleet
	cmd := &cobra.Command{
		Use:   "hives",
		Short: "List the hives that answer",
		Long:  "hives asks which hives there are and lists those that answer within 300 ms. If none does, the exit code is 4.",
		Example: `  rbee hives
  rbee hives -o json | jq -r '.hives[].hive_id'`,
		Args: cobra.NoArgs,
	}
	output := cli.AddOutput(cmd)
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, subjects, done, err := f.client(cmd)
		if err != nil {
			return err
		}
		defer done()
		hives, err := client.Hives(cmd.Context())
		switch {
		case err != nil:
			return err
		case len(hives) == 0:
			return f.noHive(subjects)
		case output.JSON():
			return cli.WriteJSON(cmd.OutOrStdout(), struct {
				Hives []queen.Hive `json:"hives"`
			}{hives})
		}
		rows := [][]string{{"HIVE", "PLATFORM", "VERSION", "RTT"}}
		for _, hive := range hives {
			rows = append(rows, []string{
				hive.ID, cli.Printable(cmp.Or(hive.Platform, "-")), cli.Printable(cmp.Or(hive.Version, "-")),
				hive.RTT.Round(10 * time.Microsecond).String(),
			})
		}
		return cli.Table(cmd.OutOrStdout(), rows...)
	}
	return cmd
}
