package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Annotations of a flag: the title under which --help shows it, and the sentence that --help has in its place.
const (
	sectionKey   = "section"
	elsewhereKey = "elsewhere"
)

// rest is the title of the flags that have none.
const rest = "Flags"

// Section adds the flags that add defines to a command; --help shows them under a title of their own.
func Section(cmd *cobra.Command, title string, add func(*pflag.FlagSet)) {
	fs := pflag.NewFlagSet(title, pflag.ContinueOnError)
	fs.SortFlags = false
	add(fs)
	fs.VisitAll(func(flag *pflag.Flag) { _ = fs.SetAnnotation(flag.Name, sectionKey, []string{title}) })
	cmd.Flags().SortFlags = false
	cmd.Flags().AddFlagSet(fs)
}

// Elsewhere leaves the flags of the sections with these titles out of a command's --help, because another page has them. hint is the
// sentence that says which, and stands there in their place.
func Elsewhere(cmd *cobra.Command, hint string, titles ...string) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if slices.Contains(titles, sectionOf(flag)) {
			_ = cmd.Flags().SetAnnotation(flag.Name, elsewhereKey, []string{hint})
		}
	})
}

// Topic returns a page of the help that is no command. What add defines is shown on it and does nothing.
func Topic(name, short, long string, add func(*cobra.Command)) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Long: long}
	add(cmd)
	return cmd
}

// The columns of a page of the help: those of the terminal within bounds, and where there is none what every terminal has.
const (
	leastColumns   = 40
	defaultColumns = 80
	mostColumns    = 100 // longer lines are hard to read
)

func columns(w io.Writer) int {
	width := Width(w)
	if width == 0 {
		return defaultColumns
	}
	return min(max(width, leastColumns), mostColumns)
}

// help prints what a command does, how it is called, and then what else there is to know.
func help(cmd *cobra.Command, _ []string) {
	w := cmd.OutOrStdout()
	width := columns(w)
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	lead, more, _ := strings.Cut(strings.TrimSpace(text), "\n\n")
	if cmd.IsAdditionalHelpTopicCommand() {
		fmt.Fprintln(w, Wrap(text, width))
		cmd.Flags().Lookup("help").Hidden = true
		flagUsages(w, cmd.Flags(), width)
		return
	}
	fmt.Fprintf(w, "%s\n\n", Wrap(lead, width))
	call(w, cmd, width)
	if more != "" {
		fmt.Fprintf(w, "\nDetails:\n%s\n", indent(Wrap(more, width-2)))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n%s\n", Wrap(fmt.Sprintf("Use '%s [command] --help' for more about a command.", cmd.CommandPath()), width))
	}
}

// usage prints how to call a command.
func usage(cmd *cobra.Command) error {
	call(cmd.OutOrStderr(), cmd, columns(cmd.OutOrStderr()))
	return nil
}

// call prints how to call a command: its forms, examples, commands below it, and flags by section.
func call(w io.Writer, cmd *cobra.Command, width int) {
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
	children(w, "Commands", cmd, width, func(child *cobra.Command) bool { return child.IsAvailableCommand() || child.Name() == "help" })
	children(w, "Other pages of the help", cmd, width, (*cobra.Command).IsAdditionalHelpTopicCommand)
	flagUsages(w, cmd.LocalFlags(), width)
}

// children lists those below a command that belong below a title.
func children(w io.Writer, title string, cmd *cobra.Command, width int, belongs func(*cobra.Command) bool) {
	for _, child := range cmd.Commands() {
		if !belongs(child) {
			continue
		}
		if title != "" {
			fmt.Fprintf(w, "\n%s:\n", title)
			title = ""
		}
		fmt.Fprintln(w, Wrap(fmt.Sprintf("  %-*s  %s", cmd.Commands()[0].NamePadding(), child.Name(), child.Short), width))
	}
}

func sectionOf(flag *pflag.Flag) string {
	return slices.Concat(flag.Annotations[sectionKey], []string{rest})[0]
}

// flagUsages prints the flags by section, each in the order of its definition. Those without a section come last, and behind them
// where the flags are that are shown elsewhere.
func flagUsages(w io.Writer, flags *pflag.FlagSet, width int) {
	var titles, hints []string
	sections := map[string]*pflag.FlagSet{}
	flags.SortFlags = false
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		if hint := flag.Annotations[elsewhereKey]; hint != nil {
			if !slices.Contains(hints, hint[0]) {
				hints = append(hints, hint[0])
			}
			return
		}
		title := sectionOf(flag)
		if sections[title] == nil {
			sections[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
			sections[title].SortFlags = false
			titles = append(titles, title)
		}
		sections[title].AddFlag(flag)
	})
	slices.SortStableFunc(titles, func(a, b string) int { return strings.Compare(last(a), last(b)) })
	for _, title := range titles {
		fmt.Fprintf(w, "\n%s:\n%s", title, sections[title].FlagUsagesWrapped(width))
	}
	for _, hint := range hints {
		fmt.Fprintf(w, "\n%s\n", Wrap(hint, width))
	}
}

// last gives a title a key that sorts the rest behind all others.
func last(title string) string {
	if title == rest {
		return "1"
	}
	return "0"
}
