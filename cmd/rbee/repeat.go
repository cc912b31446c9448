package main

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/natsconn"
)

// secretFlags hold what is not to be shown. Who gave them knows them.
var secretFlags = []string{"password", "token"}

// addressFlags may hold a user's name and password, also without a scheme: user:password@host.
var addressFlags = []string{"server", "queen-url"}

// repeat returns the command that asks hive for the same job again: what was given, the job's id and the hive. In the place of what
// is secret stands …, for whoever gave it to fill in.
func (f *spawnFlags) repeat(cmd *cobra.Command, hive string) string {
	words := []string{cmd.CommandPath()}
	add := func(name, value string) { words = append(words, "--"+name, quote(value)) }
	add("hive", hive)
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		value := flag.Value.String()
		switch {
		case flag.Name == "job-id" || flag.Name == "hive" || !flag.Changed:
		case value == os.Getenv(natsconn.Variables[flag.Name]): // it is there the next time, too
		case slices.Contains(secretFlags, flag.Name), slices.Contains(addressFlags, flag.Name) && strings.Contains(value, "@"):
			add(flag.Name, "…")
		case flag.Value.Type() == "bool" && value == "true":
			words = append(words, "--"+flag.Name)
		case flag.Value.Type() == "bool":
			words = append(words, "--"+flag.Name+"="+value)
		default:
			add(flag.Name, value)
		}
	})
	add("job-id", f.job.JobID)
	return strings.Join(words, " ")
}

// plain matches words that a shell takes as they are.
var plain = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote returns a word as a POSIX shell reads it.
func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
