package devtree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// DefaultBuildTimeout bounds a build unless [Options] says otherwise. The first one of a large workspace takes many minutes.
const DefaultBuildTimeout = 30 * time.Minute

// buildsAtOnce bounds the builds at work: each takes all cores that it gets.
const buildsAtOnce = 2

// mostRounds bounds how often one caller has a program built whose sources change all the time.
const mostRounds = 3

var (
	// ErrNoCargo is in the error of a build where there is no Cargo.
	ErrNoCargo = errors.New("cargo is not installed")
	// ErrClosed is the error of [Updater.Update] after Close.
	ErrClosed = errors.New("no builds any more")

	errLeft = errors.New("nobody waits for the build any more")
	errSlow = errors.New("the build takes too long")
)

// Options says what an [Updater] builds, and how.
type Options struct {
	// Root is the development tree; empty means that there is none but Sources.
	Root string
	// Sources holds the directory of each program's source that is not where it is looked for. A relative one is relative to the
	// working directory.
	Sources map[string]string
	// Features are those that Cargo builds with.
	Features []string
	// Timeout bounds one build; 0 means [DefaultBuildTimeout].
	Timeout time.Duration
	// Environ is what the environment of builds is taken from, by a list of names; nil means this process's own.
	Environ []string
}

// buildOptions are Options ready to be used.
type buildOptions struct {
	root      string
	sources   map[string]string
	features  []string
	timeout   time.Duration
	cargoHome string
}

// Kind says what a [Step] tells.
type Kind int

// The kinds of steps, in the order in which they come.
const (
	Checked   Kind = iota // the program was looked at: Verdict
	Waiting               // for another build: Text says which
	Started               // the build command runs: Command, LogPath
	Line                  // of its output: Text
	Dropped               // so many lines were not told
	Again                 // sources changed while it was built, so it is built once more
	Elsewhere             // another process has built it: Verdict
	Built                 // it is built: Verdict's path, Took, LogPath
)

// Step is one step of an update.
type Step struct {
	Kind    Kind
	Verdict Verdict
	Text    string
	Dropped int
	Command []string
	LogPath string
	Took    time.Duration
}

// Updater builds programs that are older than their sources. Its methods may be called from several goroutines at once: those
// who want the same program share one build.
type Updater struct {
	opts  buildOptions
	env   []string
	slots chan struct{}

	mu      sync.Mutex
	flights map[string]*flight
	closed  bool
	wg      sync.WaitGroup
}

// NewUpdater returns an updater. The error says which source is no directory.
func NewUpdater(o Options) (*Updater, error) {
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	env := environment(o.Environ)
	u := &Updater{
		env: env, slots: make(chan struct{}, buildsAtOnce), flights: make(map[string]*flight),
		opts: buildOptions{root: o.Root, sources: make(map[string]string), features: slices.Clone(o.Features), timeout: o.Timeout, cargoHome: cargoHome(env)},
	}
	if u.opts.timeout == 0 {
		u.opts.timeout = DefaultBuildTimeout
	}
	for name, dir := range o.Sources {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("source of %s: %w", name, err)
		}
		info, err := os.Stat(abs)
		switch {
		case !isFileName(name):
			return nil, fmt.Errorf("source of %q: that is not the name of a program", name)
		case err != nil:
			return nil, fmt.Errorf("source of %s: %w", name, err)
		case !info.IsDir():
			return nil, fmt.Errorf("source of %s: %s is no directory", name, abs)
		}
		u.opts.sources[name] = abs
	}
	return u, nil
}

// Close ends the builds at work and waits for that.
func (u *Updater) Close() {
	u.mu.Lock()
	u.closed = true
	for _, f := range u.flights {
		f.cancel(ErrClosed)
	}
	u.mu.Unlock()
	u.wg.Wait()
}

// Check compares the program called name with its sources, as [Updater.Update] does first, and builds nothing. The error is
// [ErrNoSource] for a program whose source is nowhere, and else why this process could not look.
func (u *Updater) Check(name string) (Verdict, error) {
	s, err := sourceOf(&u.opts, name)
	if err != nil {
		return Verdict{}, err
	}
	return s.check()
}

// Update has the program called name built if it is missing or older than its sources, tells each step to tell, and returns
// where it is, and its profile. It tells in this goroutine.
//
// What was saved before the call is in the program when it returns; what is saved during a build may not be. The error is
// [ErrNoSource] for a program whose source is nowhere, a [*BuildError] for one that cannot be built, and ctx's cause when that ends
// first: the build goes on as long as somebody else waits for it.
func (u *Updater) Update(ctx context.Context, name string, tell func(Step)) (path, profile string, err error) {
	for round := 1; ; round++ {
		s, err := sourceOf(&u.opts, name)
		if err != nil {
			return "", "", err
		}
		v, err := s.check()
		if err != nil {
			return "", "", &BuildError{Name: name, Err: err}
		}
		if round == 1 || !v.Fresh {
			tell(Step{Kind: Checked, Verdict: v})
		}
		if v.Fresh {
			return v.Path, v.Profile, nil
		}
		covered, err := u.join(ctx, s, v.Profile, tell)
		if err != nil && (covered || round == mostRounds) {
			return "", "", err
		}
		if err == nil && (covered || round == mostRounds) {
			path, profile, err := s.find()
			if err != nil { // it went between its build and now
				return "", "", &BuildError{Name: name, Err: err}
			}
			return path, profile, nil
		}
	}
}
