package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// groupKey is the annotation of a command that does nothing itself: those below it do.
const groupKey = "group"

// group makes a command that only holds others refuse words that none of them is called by, instead of taking them for a
// question about itself.
func group(c *cobra.Command) {
	if !c.HasSubCommands() || !c.HasParent() || c.Run != nil || c.RunE != nil {
		return
	}
	c.Annotations = map[string]string{groupKey: ""}
	c.SuggestionsMinimumDistance = 2
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
}

// isGroup reports whether a command does nothing itself.
func isGroup(c *cobra.Command) bool {
	_, is := c.Annotations[groupKey]
	return is
}

func unknownCommand(cmd *cobra.Command, word string) error {
	hint := ""
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return Usagef("unknown command %q for %q%s", word, cmd.CommandPath(), hint)
}

// arguments has a command that is called with too few or too many arguments name them, and complete none of them with files
// unless it says otherwise.
func arguments(c *cobra.Command) {
	check := c.Args
	if check == nil {
		return
	}
	if c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	c.SuggestionsMinimumDistance = 2
	c.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		call := strings.TrimSuffix(cmd.UseLine(), " [flags]")
		names := strings.Fields(strings.TrimPrefix(call, cmd.CommandPath()))
		flags := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "-") })
		if flags >= 0 {
			names = names[:flags]
		}
		switch {
		case len(names) == 0 && flags >= 0:
			return Usagef("%q is an argument, where only flags are taken: write %s", args[0], call)
		case len(names) == 0 && cmd.HasSubCommands():
			return unknownCommand(cmd, args[0])
		case len(names) == 0:
			return Usagef("%s takes no arguments, but there is %q", call, args[0])
		case len(args) < len(names) && !strings.HasPrefix(names[len(args)], "["):
			return Usagef("%s is missing: write %s", names[len(args)], call)
		}
		return Usagef("too many arguments: write %s", call)
	}
}
