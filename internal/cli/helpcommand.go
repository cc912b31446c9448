package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// helpCommand returns the command that shows the help of another, and the pages that are no command. One that there is not is an
// error of usage.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command, or another page of it",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			page, words, err := root.Find(args)
			if err != nil || len(words) > 0 {
				return Usagef("there is no help on %q: '%s help' lists what there is", strings.Join(args, " "), root.Name())
			}
			page.InitDefaultHelpFlag()
			return page.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			page, words, err := cmd.Root().Find(args)
			if err != nil || len(words) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []cobra.Completion
			for _, child := range page.Commands() {
				if child.IsAvailableCommand() || child.IsAdditionalHelpTopicCommand() {
					names = append(names, cobra.CompletionWithDesc(child.Name(), child.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
