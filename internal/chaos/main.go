//go:build linux

// Command chaos kills hives and servers, and checks that nothing was lost and nothing was done twice.
//
// First it goes through the fault points of package fault: at each, between two steps of a queued job, the hive is killed, or the
// server while the hive stands still there, or the hive stands still for so long that another process of it gets its jobs. Then it kills,
// stops and restarts hives and servers, and breaks their network, at moments of chance. Each round has a server, its streams, a machine and a
// load of jobs of its own. When all has come back and the queue is empty, each round is checked: every job has exactly one result, the worker of
// every result was started exactly once, the stories are whole, and nothing is left over. docs/delivery.md says what is promised.
//
// Run it with make chaos.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// options are what is asked of a run.
type options struct {
	programs programs
	seed     uint64
	lanes    int           // rounds at once
	random   time.Duration // how long rounds of chance are begun
	points   []point
	modes    []mode
	kinds    []kind
	calm     bool // measure the holes
	keep     bool
	dir      string
	out      io.Writer
}

func main() {
	if filepath.Base(os.Args[0]) == "cargo" {
		if err := playCargo(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(101)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "server" {
		fmt.Fprintln(os.Stderr, "chaos server:", playServer(os.Args[2:]))
		os.Exit(1)
	}
	if len(os.Args) > 2 && os.Args[1] == "keeper" {
		keep(os.Args[2])
		return
	}
	o := options{out: os.Stdout}
	var point, which, about string
	here, err := os.Executable()
	if err != nil {
		here = "."
	}
	flag.StringVar(&o.programs.hive, "hive", filepath.Join(filepath.Dir(here), "rbee-hive"), "the hive's `binary`, built with the tag chaos")
	flag.StringVar(&o.programs.worker, "worker", filepath.Join(filepath.Dir(here), "worker"), "the worker's `binary`")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64()%1_000_000, "what chance begins with")
	flag.IntVar(&o.lanes, "lanes", 6, "how many rounds run at once")
	flag.DurationVar(&o.random, "random", 45*time.Second, "for how long rounds of chance are begun; 0 is none")
	flag.StringVar(&point, "point", "", "one fault `point` instead of all; none for none of them")
	flag.StringVar(&which, "mode", join(modes), "`who` is struck at the points")
	flag.StringVar(&about, "kinds", join(kinds), "what the rounds of chance are `about`, in turn by their seeds")
	flag.BoolVar(&o.calm, "calm", true, "measure the windows in which a death is not made up for")
	flag.BoolVar(&o.keep, "keep", false, "keep the directories of all rounds, not only of those with a violation")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err = o.choose(point, which, about)
	violations := 0
	if err == nil {
		violations, err = run(ctx, o)
	}
	code := 0
	if violations > 0 {
		code = 1
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		code = 1
	}
	if ctx.Err() != nil {
		code = 130
	}
	stop()
	os.Exit(code)
}

// choose fills in what is to be done, and checks what is needed for it.
func (o *options) choose(name, which, about string) error {
	var err error
	if o.programs.self, err = os.Executable(); err != nil {
		return err
	}
	for _, path := range []*string{&o.programs.hive, &o.programs.worker} {
		if *path, err = filepath.Abs(*path); err == nil {
			_, err = os.Stat(*path)
		}
		if err != nil {
			return fmt.Errorf("%w; run make chaos", err)
		}
	}
	switch p, ok := pointNamed(name); {
	case ok:
		o.points = []point{p}
	case name == "":
		o.points = points
	case name != "none":
		return fmt.Errorf("there is no point %s", name)
	}
	for word := range strings.SplitSeq(which, ",") {
		if !slices.Contains(modes, mode(word)) {
			return fmt.Errorf("there is no mode %s; there are %s", word, join(modes))
		}
		o.modes = append(o.modes, mode(word))
	}
	for word := range strings.SplitSeq(about, ",") {
		if !slices.Contains(kinds, kind(word)) {
			return fmt.Errorf("there is no kind %s; there are %s", word, join(kinds))
		}
		o.kinds = append(o.kinds, kind(word))
	}
	return nil
}

// run plays all rounds and returns how many broke a promise.
func run(ctx context.Context, o options) (violations int, err error) {
	// A worker whose hive was killed becomes a child of this process, so that none can get lost.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	if o.dir, err = os.MkdirTemp(tmpfs(), "rbee-chaos-"); err != nil {
		return 0, err
	}
	if o.dir, err = filepath.EvalSymlinks(o.dir); err != nil { // as /proc/PID/cwd shows it
		return 0, err
	}
	// One copy on the same file system, which the rounds link to. It is written before anything is started: the kernel starts no file
	// that somebody has open for writing.
	if o.programs.worker, err = copyTo(o.dir, o.programs.worker); err != nil {
		return 0, err
	}
	dismiss, err := hireKeeper(o.programs.self, o.dir)
	if err != nil {
		return 0, err
	}
	defer dismiss()
	r := newReport(o)
	defer r.sweep()
	r.begin()
	r.playPoints(ctx)
	r.playRandom(ctx)
	r.playCalm(ctx)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return r.end(), nil
}

// tmpfs returns a directory in memory, where a run directory belongs; the system's own for temporary files if there is none.
func tmpfs() string {
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/dev/shm"} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return os.TempDir()
}

func copyTo(dir, path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, filepath.Base(path))
	return to, os.WriteFile(to, data, 0o755)
}
