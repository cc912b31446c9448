//go:build linux

// Command bench measures what a hive adds to a bare process start, every party a process of its own: the NATS server,
// the hive (the real rbee-hive binary), the client, the echo that answers the floor's round trips, and the starter of
// the floor's bare processes.
//
// It prints the floor of the same run beside every figure, because timings drift between machines and minutes while
// ratios within one run compare. Run it with make bench.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "role" {
		os.Exit(play(os.Args[2], os.Args[3:]))
	}
	hive := flag.String("hive", "bin/rbee-hive", "the hive's `binary`")
	rounds := flag.Int("rounds", 7, "how often everything is measured")
	only := flag.String("only", strings.Join(parts, ","), "which `parts` are measured")
	asJSON := flag.Bool("json", false, "print the figures as JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *hive, *only, *rounds, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// parts are what can be measured alone: jobs by request and what the hive says of its workers, jobs of the queue, and many hives
// that have nothing to do.
var parts = []string{"request", "queue", "idle"}

func run(ctx context.Context, hive, only string, rounds int, asJSON bool) error {
	hive, err := filepath.Abs(hive)
	if err != nil {
		return err
	}
	if _, err := os.Stat(hive); err != nil {
		return fmt.Errorf("%w; run make build first, or make bench", err)
	}
	if err := adoptOrphans(); err != nil {
		return err
	}
	var f figures
	for part := range strings.SplitSeq(only, ",") {
		if err := f.measure(ctx, part, hive, rounds); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	return f.print(os.Stdout)
}

// measure measures one of the parts.
func (f *figures) measure(ctx context.Context, part, hive string, rounds int) error {
	dir, err := os.MkdirTemp(tmpfs(), "rbee-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	switch part {
	case "request":
		var st *stage
		if st, err = setUp(ctx, hive, dir); err != nil {
			return err
		}
		defer st.tearDown()
		f.Request, err = st.measure(ctx, rounds)
	case "queue":
		f.Queue, err = measureQueue(ctx, hive, dir, rounds)
	case "idle":
		f.Idle, err = measureIdle(ctx, hive, dir)
	default:
		err = fmt.Errorf("there is no such part; take %s", strings.Join(parts, ","))
	}
	return err
}

// tmpfs returns a directory in memory, where the run directory belongs; the system's own for temporary files if there
// is none.
func tmpfs() string {
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/dev/shm"} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return os.TempDir()
}
