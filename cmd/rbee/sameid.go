package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/queen"
)

// warnOfSharedIDs says which ids more than one machine answers to. Two processes on one run directory are one hive, as during an
// upgrade. The hives are sorted by id.
func warnOfSharedIDs(stderr io.Writer, hives []queen.Hive) {
	for i := 0; i < len(hives); {
		end := i + 1
		for end < len(hives) && hives[end].ID == hives[i].ID {
			end++
		}
		if hosts := sharing(hives[i:end]); len(hosts) > 0 {
			fmt.Fprintf(stderr, "rbee: hive %s is more than one hive, on %s: they share the jobs of that id; give one of them another --hive-id.\n",
				hives[i].ID, cli.Printable(strings.Join(hosts, " and ")))
		}
		i = end
	}
}

// sharing returns the hosts of the processes with one id if they are not of one hive.
func sharing(processes []queen.Hive) []string {
	shared := false
	var hosts []string
	for _, p := range processes {
		first := processes[0]
		if p.RunDir != "" && first.RunDir != "" {
			shared = shared || p.RunDir != first.RunDir
		} else {
			shared = shared || p.Host != first.Host
		}
		hosts = append(hosts, cmp.Or(p.Host, "a host that it does not name"))
	}
	if !shared {
		return nil
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
