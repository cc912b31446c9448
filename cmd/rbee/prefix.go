package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/queen"
)

// leastPrefix is how much of an id must be there before it can stand for the whole, behind the word that ids of workers begin with.
const leastPrefix = 4

// shortened matches the beginning of an id that a hive makes, as tables and narration show it.
var shortened = regexp.MustCompile(`^worker-[0-9a-f]{4}[0-9a-f-]*$`)

// isPrefix reports whether an id may be the beginning of a longer one.
func isPrefix(id string) bool {
	return len(strings.TrimPrefix(id, "worker-")) >= leastPrefix && !generated.MatchString(id)
}

// place is a worker and the hive that it is on.
type place struct{ hive, worker string }

// expand returns the worker whose id begins with the one that was given, as the queen and the hives know it; the zero place if none does.
// It is an error if several do, or, where the worker is to end, if a hive that may have another cannot be asked.
func (f *oneWorker) expand(cmd *cobra.Command, client *queen.Client, begun string) (place, error) {
	if !isPrefix(begun) || f.madeOnly && !shortened.MatchString(begun) {
		return place{}, nil
	}
	look := &lister{listFlags: &listFlags{fleet: f.fleet, registry: f.registry, hive: f.hive, exited: true}, cmd: cmd, hives: client}
	known := look.look(cmd.Context())
	at, err := f.only(begun, known.join(f.hive, true))
	if err != nil || at.worker == "" || at.worker == begun {
		return at, err
	}
	if f.madeOnly && len(known.blind) > 0 {
		return place{}, fmt.Errorf("%s may not be the only worker whose id begins with %s, for not every hive can be asked (%w): write its whole id", at.worker, begun, known.blind[0])
	}
	if shortID(at.worker) != begun {
		fmt.Fprintln(cmd.ErrOrStderr(), cli.NewPaint(cmd.ErrOrStderr()).Dim(begun+" is "+cli.Printable(at.worker)))
	}
	return at, nil
}

// only returns the one worker that has the id, or whose id begins with it.
func (f *oneWorker) only(begun string, workers []seenWorker) (place, error) {
	var meant []place
	for _, w := range workers {
		at := place{hive: w.Hive, worker: w.ID}
		switch {
		case w.ID == begun:
			return at, nil
		case !strings.HasPrefix(w.ID, begun) || f.madeOnly && !generated.MatchString(w.ID):
		case !slices.Contains(meant, at):
			meant = append(meant, at)
		}
	}
	switch len(meant) {
	case 0:
		return place{}, nil
	case 1:
		return meant[0], nil
	}
	var names []string
	for _, at := range meant {
		name := cli.Printable(at.worker)
		if at.hive != "" {
			name += " (hive " + cli.Printable(at.hive) + ")"
		}
		names = append(names, name)
	}
	return place{}, cli.Usagef("the ids of %d workers begin with %s: write more of the one that you mean: %s", len(meant), begun, strings.Join(names, ", "))
}
