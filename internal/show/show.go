// Package show writes what both commands show of installed workers: the catalog of a machine, and what a job would start.
package show

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/messages"
)

// Catalog writes the entries as a table.
func Catalog(w io.Writer, entries []messages.CatalogEntry) error {
	rows := [][]string{{"WORKER", "VERSION", "PLATFORM", "SIZE", "DEVICES", "NOTE"}}
	for _, entry := range entries {
		rows = append(rows, []string{
			line(cmp.Or(entry.Worker, entry.Dir)), line(cmp.Or(entry.Version, "-")), line(platform(entry)), size(entry.Size),
			line(devices(entry)), line(note(entry)),
		})
	}
	return cli.Table(w, rows...)
}

func line(text string) string { return messages.OneLine(cli.Printable(text)) }

func platform(entry messages.CatalogEntry) string {
	switch {
	case entry.OS == "":
		return "-"
	case entry.Arch == "":
		return entry.OS
	}
	return entry.OS + "/" + entry.Arch
}

func devices(entry messages.CatalogEntry) string {
	if entry.Problem != "" {
		return "-"
	}
	return cmp.Or(strings.Join(entry.Devices, ", "), "all")
}

// note says what is special about an entry.
func note(entry messages.CatalogEntry) string {
	var notes []string
	if entry.Chosen {
		notes = append(notes, "chosen")
	}
	if entry.Pinned {
		notes = append(notes, "pinned")
	}
	if entry.Problem != "" {
		notes = append(notes, "skipped: "+entry.Problem)
	}
	return cmp.Or(strings.Join(notes, ", "), "-")
}

// size writes bytes as people do, and - for 0.
func size(bytes int64) string {
	value, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for value >= 1024 && len(units) > 1 {
		value, units = value/1024, units[1:]
	}
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.4g %s", value, units[0])
}

// Plan writes what a job would start.
func Plan(w io.Writer, plan messages.Plan) error {
	from := plan.Source
	if plan.Version != "" {
		from += ", version " + plan.Version
	}
	port := strconv.Itoa(plan.Port)
	if plan.Port == 0 {
		port = "a free one of " + plan.Ports
	}
	rows := [][]string{
		{"hive", plan.HiveID},
		{"worker", plan.Worker + " (" + plan.WorkerType + ")"},
		{"binary", plan.BinaryPath + " (" + from + ")"},
		{"why", plan.Why},
		{"device", plan.Device},
		{"model", plan.Model},
		{"port", port},
		{"health", fmt.Sprintf("%s answers %d", plan.HealthPath, plan.HealthStatus)},
		{"stop", fmt.Sprintf("%s, SIGKILL after %s", plan.StopSignal, time.Duration(plan.StopGraceMS)*time.Millisecond)},
		{"directory", plan.WorkDir},
	}
	rows = append(rows, list("argv", append([]string{plan.BinaryPath}, plan.Args...), quoted)...)
	rows = append(rows, list("environment", plan.Env, line)...)
	for _, skipped := range plan.Skipped {
		rows = append(rows, []string{"skipped", skipped.Path + ": " + skipped.Reason})
	}
	for _, row := range rows {
		row[1] = line(row[1])
	}
	return cli.Table(w, rows...)
}

// list returns a row for each text, the first with a title.
func list(title string, texts []string, show func(string) string) [][]string {
	rows := make([][]string, 0, len(texts))
	for _, text := range texts {
		rows = append(rows, []string{title, show(text)})
		title = ""
	}
	return rows
}

// quoted returns an argument as it is, or in quotes if it could be taken for several or for none.
func quoted(arg string) string {
	if arg == "" || strings.ContainsAny(arg, " \t\"'\\") {
		return strconv.Quote(arg)
	}
	return arg
}
