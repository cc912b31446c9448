package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/rbee-keeper/hive/internal/cli"
	"github.com/rbee-keeper/hive/spawner"
	"github.com/rbee-keeper/hive/spawner/devtree"
)

// rebuild is what the flags say about development builds.
type rebuild struct {
	on       bool
	sources  devSources
	features []string
	timeout  time.Duration
}

func (r *rebuild) addFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&r.on, "auto-update", false, "build a worker of the development tree that is older than its sources; never one of the catalog")
	fs.Var(&r.sources, "dev-source", "`worker=directory` of a source that is not where it is looked for; may be given several times")
	fs.StringSliceVar(&r.features, "dev-features", nil, "`features`, joined by commas, that Cargo builds with")
	fs.DurationVar(&r.timeout, "build-timeout", devtree.DefaultBuildTimeout, "how long one build may take")
}

// check returns an error of usage for the first setting that cannot be right.
func (r *rebuild) check() error {
	switch {
	case r.timeout <= 0:
		return cli.Usagef("--build-timeout: is %s; use more than 0", r.timeout)
	case !r.on && len(r.sources) > 0:
		return cli.Usagef("--dev-source: is for --auto-update, which is off")
	case !r.on && len(r.features) > 0:
		return cli.Usagef("--dev-features: is for --auto-update, which is off")
	}
	for _, feature := range r.features {
		if feature == "" || strings.HasPrefix(feature, "-") || strings.ContainsAny(feature, " \t\n") {
			return cli.Usagef("--dev-features: %q is no feature", feature)
		}
	}
	return nil
}

func (r *rebuild) config() spawner.Rebuild {
	return spawner.Rebuild{On: r.on, Sources: r.sources, Features: r.features, Timeout: r.timeout}
}

// workspace returns the directory that must be in a Cargo workspace; empty if none must.
func (s *settings) workspace() string {
	root, err := findDevRoot(s.devRoot, s.rebuild.on, slog.New(slog.DiscardHandler))
	if s.devRoot == "" || err != nil {
		return s.devRoot
	}
	if _, err := devtree.Root(root); err != nil {
		return ""
	}
	return root
}

// build returns how serve would keep development builds up to date; nil if it would not. That serve does not start with such a
// development tree, the doctor says besides.
func (s *settings) build() *devtree.Options {
	root, err := findDevRoot(s.devRoot, s.rebuild.on, slog.New(slog.DiscardHandler))
	if !s.rebuild.on || err != nil {
		return nil
	}
	return &devtree.Options{Root: root, Sources: s.rebuild.sources, Features: s.rebuild.features, Timeout: s.rebuild.timeout}
}

// devSources is the flag of directories by worker.
type devSources map[string]string

// Set reads one or more WORKER=DIRECTORY, joined by commas.
func (d *devSources) Set(text string) error {
	for pair := range strings.SplitSeq(text, ",") {
		name, dir, ok := strings.Cut(pair, "=")
		if name, dir = strings.TrimSpace(name), strings.TrimSpace(dir); !ok || name == "" || dir == "" {
			return errors.New("want WORKER=DIRECTORY, such as cpu-llm-worker-rbee=src/worker")
		}
		if before := (*d)[name]; before != "" && before != dir {
			return fmt.Errorf("%s has two sources, %s and %s", name, before, dir)
		}
		if *d == nil {
			*d = make(devSources)
		}
		(*d)[name] = dir
	}
	return nil
}

// String returns the directories as Set reads them.
func (d *devSources) String() string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(*d)) {
		pairs = append(pairs, name+"="+(*d)[name])
	}
	return strings.Join(pairs, ",")
}

// Type returns what --help shows for the value.
func (d *devSources) Type() string { return "worker=directory" }

// findDevRoot returns the Cargo workspace at or above dir, or at or above the working directory if dir is empty; there it
// may also be missing. With worker.json, other languages are built, too: then the directory itself is enough.
func findDevRoot(dir string, autoUpdate bool, log *slog.Logger) (string, error) {
	root, err := devtree.Root(cmp.Or(dir, "."))
	switch {
	case err == nil:
		return root, nil
	case dir == "":
		log.Debug("no development tree", "err", err)
		return "", nil
	case autoUpdate && errors.Is(err, devtree.ErrNoWorkspace):
		root, err = devtree.Base(dir)
		if err == nil {
			return root, nil
		}
	}
	return "", fmt.Errorf("--dev-root: %w", err)
}
