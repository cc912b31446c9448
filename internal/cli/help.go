package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// sectionKey is the annotation of a flag that holds the title under which --help shows it.
const sectionKey = "section"

// Section adds the flags that add defines to a command; --help shows them under a title of their own.
func Section(cmd *cobra.Command, title string, add func(*pflag.FlagSet)) {
	fs := pflag.NewFlagSet(title, pflag.ContinueOnError)
	fs.SortFlags = false
	add(fs)
	fs.VisitAll(func(flag *pflag.Flag) { _ = fs.SetAnnotation(flag.Name, sectionKey, []string{title}) })
	cmd.Flags().SortFlags = false
	cmd.Flags().AddFlagSet(fs)
}

// usage prints how to call a command: its forms, examples, commands below it, and flags by section.
func usage(cmd *cobra.Command) error {
	w := cmd.OutOrStderr()
	fmt.Fprintln(w, "Usage:")
	if cmd.Runnable() && !isGroup(cmd) {
		fmt.Fprintln(w, "  "+cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s [command]\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintln(w, "\nCommands:")
		for _, child := range cmd.Commands() {
			if child.IsAvailableCommand() || child.Name() == "help" {
				fmt.Fprintf(w, "  %-*s  %s\n", cmd.NamePadding(), child.Name(), child.Short)
			}
		}
	}
	flagUsages(w, cmd.LocalFlags())
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nUse '%s [command] --help' for more about a command.\n", cmd.CommandPath())
	}
	return nil
}

// flagUsages prints the flags by section, each in the order of its definition. Those without a section come last.
func flagUsages(w io.Writer, flags *pflag.FlagSet) {
	const rest = "Flags"
	titles := []string{}
	sections := map[string]*pflag.FlagSet{}
	flags.SortFlags = false
	flags.VisitAll(func(flag *pflag.Flag) {
		title := slices.Concat(flag.Annotations[sectionKey], []string{rest})[0]
		if sections[title] == nil {
			sections[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
			sections[title].SortFlags = false
			titles = append(titles, title)
		}
		sections[title].AddFlag(flag)
	})
	slices.SortStableFunc(titles, func(a, b string) int { return strings.Compare(last(a, rest), last(b, rest)) })
	for _, title := range titles {
		fmt.Fprintf(w, "\n%s:\n%s", title, sections[title].FlagUsagesWrapped(110))
	}
}

// last gives a title a key that sorts the rest behind all others.
func last(title, rest string) string {
	if title == rest {
		return "1"
	}
	return "0"
}
