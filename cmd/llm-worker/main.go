// Command llm-worker is a small worker that keeps the worker contract: it serves one model name on one device
// and one port, and sends heartbeats to its queen.
//
// What it serves is a deterministic text generator of its own, not the named model: the same prompt gives the
// same text, in microseconds and without a GPU. That makes it the worker to try a hive with, and the shortest
// complete example for authors of real workers. It is installed as cpu-llm-worker-rbee, cuda-llm-worker-rbee
// and metal-llm-worker-rbee.
//
// One process, in the order of what happens:
//
//	main → run → parse           arguments and environment, or exit 2
//	       run → listen          the port, or exit 1; nothing is said before it is open
//	       run → worker.serve    until SIGTERM, SIGINT or a failure
//	             ├─ http.Server  health, info, models, chat completions
//	             ├─ worker.load  starting → ready
//	             └─ heart.run    heartbeats; its last one says stopped
//
// With --backend it generates nothing: it starts another server, such as llama-server, passes requests on to it, and keeps
// the contract in its place. See adapter.serve.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/rbee-keeper/hive/internal/backend"
)

// Exit codes of the worker contract.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitSignal  = 128 // and the signal's number, as shells have it
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == guardArgument {
		os.Exit(backend.Guard(os.Args[2:]))
	}
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, restore) // a second signal kills at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it serves until ctx ends and returns the exit code. Answers to --help and --version
// go to stdout, the log and every error to stderr; stdin is not read.
func run(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	cfg, err := parse(args, os.LookupEnv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case errors.Is(err, errVersion):
		fmt.Fprintln(stdout, implementation, workerVersion())
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v\nRun '%s --help' to see the flags and their meaning.\n", implementation, err, implementation)
		return exitUsage
	}

	listener, err := listen(ctx, cfg.host, cfg.port)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", implementation, err)
		return exitFailure
	}
	w := newWorker(cfg, listener.Addr(), slog.New(slog.NewTextHandler(stderr, nil)))
	serve := w.serve
	if cfg.backend != nil {
		serve = newAdapter(w).serve
	}
	err = serve(ctx, listener)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", implementation, err)
	}
	return exitCode(err)
}

// exitCode returns the exit code that an error of serving means. If a signal ended the backend, the process ends by the
// same.
func exitCode(err error) int {
	ended, ok := errors.AsType[*endError](err)
	switch {
	case err == nil:
		return exitOK
	case !ok:
		return exitFailure
	case ended.exit.Signal != 0:
		dieOf(ended.exit.Signal)
		return exitSignal + int(ended.exit.Signal)
	}
	return ended.exit.Code
}
