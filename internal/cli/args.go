package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// nameArguments makes a command without commands below it say which argument is missing or too many, as its usage line names them:
// words in upper case, in brackets where they may be left out.
func nameArguments(c *cobra.Command) {
	rule := c.Args
	if rule == nil || c.HasSubCommands() {
		return
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		err := rule(cmd, args)
		if err == nil {
			return nil
		}
		words := strings.Fields(cmd.Use)[1:]
		if i := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(word, "-") }); i >= 0 {
			words = words[:i] // what follows is a flag's
		}
		needed := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(word, "[") })
		if needed < 0 {
			needed = len(words)
		}
		switch {
		case len(args) < needed:
			return fmt.Errorf("%s is missing: %s %s", words[len(args)], cmd.CommandPath(), strings.Join(words, " "))
		case len(args) > len(words):
			return fmt.Errorf("%q is one argument too many", args[len(words)])
		}
		return err
	}
}
