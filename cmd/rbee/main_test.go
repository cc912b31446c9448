package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/devstack"
	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/porttest"
	"github.com/rbee-keeper/hive/internal/proctest"
	"github.com/rbee-keeper/hive/spawner/process"
)

// llmWorker is the real worker, built once for all tests.
var llmWorker string

// TestMain lets this binary play rbee in the scripts and in the tests that start it by name.
func TestMain(m *testing.M) {
	testscript.Main(built{m}, map[string]func(){"rbee": main})
}

// built builds the worker before the tests run; the processes that play rbee do not.
type built struct{ *testing.M }

func (b built) Run() int {
	dir, err := os.MkdirTemp("", "rbee-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	llmWorker = filepath.Join(dir, "llm-worker")
	build := exec.Command("go", "build", "-o", llmWorker, "../llm-worker")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build llm-worker: %v\n%s", err, out)
		return 1
	}
	return b.M.Run()
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("LLM_WORKER", llmWorker)
			env.Setenv("GOOS", runtime.GOOS)
			deaf, deafer, release, err := porttest.LeaseUntil(2)
			if err != nil {
				return err
			}
			env.Defer(release)
			env.Setenv("NATS_URL", fmt.Sprintf("nats://127.0.0.1:%d", deaf))
			env.Setenv("RBEE_QUEEN_URL", fmt.Sprintf("http://127.0.0.1:%d", deafer))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // Else the race detector lets each command wait for a second.
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fleet": runFleet, "broker": runBroker, "exits": exits, "awaits": awaits, "actor": runActor, "registry": runRegistry, "puller": runPuller,
		},
	})
}

// awaits runs a command again and again until it prints what is awaited: awaits PATTERN COMMAND...
func awaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: awaits PATTERN COMMAND...")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	for late := time.Now().Add(proctest.Patience); ; {
		err := ts.Exec(args[1], args[2:]...)
		said := ts.ReadFile("stdout")
		if err == nil && pattern.MatchString(said) {
			return
		}
		if time.Now().After(late) {
			ts.Fatalf("it does not print %s: %v\n%s", pattern, err, said)
		}
	}
}

// runFleet starts NATS, a queen and the hive "local", with the worker installed, for the rest of the script.
func runFleet(ts *testscript.TestScript, _ bool, _ []string) {
	dir := ts.MkAbs("fleet")
	ts.Check(devstack.Install(dir, llmWorker, workerVersion))
	first, last, release, err := porttest.LeaseUntil(40)
	ts.Check(err)
	ts.Defer(release)
	stack, err := devstack.Start(context.Background(), devstack.Config{Dir: dir, Version: "v9.9.9", Ports: devstack.Ports(first, last)})
	ts.Check(err)
	ts.Defer(func() {
		killWorkers(ts.Fatalf, filepath.Join(dir, "run"))
		ts.Check(stack.Stop())
	})
	ts.Setenv("NATS_URL", stack.NATSURL())
	ts.Setenv("RBEE_QUEEN_URL", stack.QueenURL())
	ts.Setenv("CATALOG", devstack.CatalogDir(dir))
}

// runBroker starts a NATS server without any hive: broker [DIRECTORY [CONFIG]]. With a directory it has JetStream; CONFIG is a nats-server.conf.
func runBroker(ts *testscript.TestScript, _ bool, args []string) {
	var cfg natsd.Config
	if len(args) > 0 {
		cfg.StoreDir = ts.MkAbs(args[0])
	}
	if len(args) > 1 {
		cfg.ConfigFile = ts.MkAbs(args[1])
	}
	server, err := natsd.Start(cfg)
	ts.Check(err)
	ts.Defer(server.Shutdown)
	ts.Setenv("NATS_URL", server.URL())
}

// exits runs a program and checks its exit code: exits CODE PROGRAM ARGS...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// killWorkers kills every worker that a hive with this run directory started, and returns when they have gone.
func killWorkers(fail func(string, ...any), dir string) {
	run, err := process.OpenRunDir(dir)
	if err != nil {
		fail("%v", err)
	}
	workers, err := run.Workers()
	if err != nil {
		fail("%v", err)
	}
	for _, id := range workers {
		var record struct {
			Process process.Started `json:"process"`
		}
		if run.ReadRecord(id, &record) != nil && run.ReadStarting(id, &record) != nil {
			continue // it was never started
		}
		_, err := run.End(context.Background(), process.Tree{Leader: record.Process.Identity, Worker: id}, process.EndConfig{Signal: syscall.SIGKILL})
		if err != nil && !errors.Is(err, process.ErrGone) {
			fail("%v", err)
		}
	}
}

func TestDescribePaths(t *testing.T) {
	t.Parallel()
	require.True(t, filepath.IsAbs(besideRbee("llm-worker")))
	require.Contains(t, stateDir(), filepath.Join("rbee", "dev"))
}
