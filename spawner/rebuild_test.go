//go:build linux

package spawner_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner"
)

// playCargo does what the file "play" of the workspace says: it puts this test binary there as the worker, unless it is to fail.
func playCargo(args []string) int {
	runs, err := os.OpenFile("runs", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 99
	}
	fmt.Fprintln(runs, args)
	play, err := os.Open("play")
	if err != nil {
		return 99
	}
	for lines := bufio.NewScanner(play); lines.Scan(); {
		act, what, _ := strings.Cut(lines.Text(), " ")
		switch act {
		case "say":
			fmt.Fprintln(os.Stderr, what)
		case "await":
			for {
				if _, err := os.Stat(what); err == nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
		case "fail":
			return 101
		}
	}
	path := filepath.Join(args[slices.Index(args, "--target-dir")+1], "debug", cpuWorker)
	self, err := os.Executable()
	if err != nil || os.MkdirAll(filepath.Dir(path), 0o700) != nil || os.Remove(path) != nil && !missing(path) || os.Link(self, path) != nil {
		return 99
	}
	return 0
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}

// builder is a hive that has a development tree, keeps it up to date, and has nothing in its catalog.
type builder struct {
	*hive
	root string
}

func newBuilder(t *testing.T, change func(*spawner.Config)) *builder {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	b := &builder{root: root}
	self, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Link(self, filepath.Join(bin, "cargo")))
	b.hive = newHive(t, func(c *spawner.Config) {
		c.DevRoot, c.Rebuild = root, spawner.Rebuild{On: true, Environ: []string{"PATH=" + bin, "HOME=" + root}}
		if change != nil {
			change(c)
		}
	})
	require.NoError(t, os.RemoveAll(b.cfg.CatalogDir))
	b.put("Cargo.toml", "[workspace]\nmembers = [\"bin/*\"]\n")
	b.put("bin/30_cpu_llm_worker_rbee/Cargo.toml", "[package]\nname = \""+cpuWorker+"\"\n")
	b.put("bin/30_cpu_llm_worker_rbee/src/main.rs", "fn main() {}\n")
	b.plays("say    Compiling " + cpuWorker)
	return b
}

func (b *builder) put(path, content string) {
	b.t.Helper()
	path = filepath.Join(b.root, filepath.FromSlash(path))
	require.NoError(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(b.t, os.WriteFile(path, []byte(content), 0o644))
}

func (b *builder) plays(lines ...string) { b.put("play", strings.Join(lines, "\n")+"\n") }

func (b *builder) ran() int {
	runs, _ := os.ReadFile(filepath.Join(b.root, "runs"))
	return strings.Count(string(runs), "\n")
}

func TestSpawnBuildsWhatIsOutOfDate(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	got := b.spawn(job("a", "live"))
	require.Nil(t, got.err)
	bin := filepath.Join(b.root, "target", "debug", cpuWorker)
	require.Equal(t, []messages.Action{
		messages.ActionSpawnStart, messages.ActionTypeDetermined, messages.ActionAutoUpdate, messages.ActionAutoRebuild,
		messages.ActionAutoRebuild, messages.ActionAutoRebuild, messages.ActionBinaryDebug, messages.ActionBinaryFound,
		messages.ActionSpawnCommand, messages.ActionSpawned,
	}, got.actions())
	require.Equal(t, "Out of date: "+bin+" has not been built", got.events[2].Human)
	require.Equal(t, "🔨 Building "+cpuWorker+": cargo "+strings.Join(got.events[3].Fields.Args[1:], " "), got.events[3].Human)
	require.Equal(t, "Build:    Compiling "+cpuWorker, got.events[4].Human)
	require.Regexp(t, `^✅ Built `+cpuWorker+` in [0-9.]+m?s$`, got.events[5].Human)
	require.Equal(t, "Found in the development tree: target/debug/"+cpuWorker, got.events[6].Human)
	require.Equal(t, bin, got.result.BinaryPath)
	require.Equal(t, "debug", got.result.Source)
	require.Empty(t, got.result.Version)
	require.Equal(t, 2, got.waited, "it made room for others when the build began")

	again := b.spawn(job("b", "live"))
	require.Nil(t, again.err)
	require.Regexp(t, `^Up to date: `+bin+` \(\d+ files compared in \d+ ms\)$`, again.events[2].Human)
	require.NotContains(t, again.actions(), messages.ActionAutoRebuild)
	require.Equal(t, 1, b.ran())

	b.put("bin/30_cpu_llm_worker_rbee/src/main.rs", "fn main() { todo!() }\n")
	third := b.spawn(job("c", "live"))
	require.Nil(t, third.err)
	require.Equal(t, filepath.Join(b.root, "bin/30_cpu_llm_worker_rbee/src/main.rs"), third.events[2].Fields.StaleFile)
	require.Equal(t, "Out of date: "+bin+" was made before bin/30_cpu_llm_worker_rbee/src/main.rs changed", third.events[2].Human)
	require.Equal(t, 2, b.ran())
}

func TestSpawnOfWhatDoesNotCompile(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	b.plays("say error[E0425]: cannot find value `x` in this scope", "say  --> src/main.rs:1:13", "say ", "say error: could not compile", "fail")
	got := b.spawn(job("a", "live"))
	require.ErrorIs(t, got.err, messages.BuildFailed)
	require.Equal(t, 101, *got.err.ExitCode)
	require.Equal(t, []string{"error[E0425]: cannot find value `x` in this scope", " --> src/main.rs:1:13", "error: could not compile"}, got.err.LogTail)
	require.Contains(t, got.err.Message, "cannot find value `x` in this scope (src/main.rs:1:13)")
	require.FileExists(t, got.err.LogPath)
	require.Equal(t, "cargo", got.err.Command[0])
	require.False(t, got.err.Retryable)
	require.NotContains(t, got.actions(), messages.ActionSpawnCommand)
	require.NoDirExists(t, filepath.Join(b.cfg.RunDir, "workers", job("a", "").WorkerID), "a refused job leaves nothing")

	b.plays()
	require.Nil(t, b.spawn(job("a", "live")).err, "the same job, once it compiles")
}

// What an administrator installed, and what a job names, is never built.
func TestSpawnNeverBuildsForTheCatalog(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	for name, change := range map[string]func(*messages.Job){
		"a version": func(j *messages.Job) { j.Version = "1.0.0" },
		"a worker":  func(j *messages.Job) { j.Worker = cpuWorker },
	} {
		j := job("missing", "live")
		change(&j)
		got := b.spawn(j)
		require.ErrorIs(t, got.err, messages.WorkerNotInstalled, name)
		require.NotContains(t, got.actions(), messages.ActionAutoUpdate, name)
	}
	b.install(cpuWorker, "1.0.0")
	got := b.spawn(job("a", "live"))
	require.Nil(t, got.err)
	require.Equal(t, "catalog", got.result.Source)
	require.NotContains(t, got.actions(), messages.ActionAutoUpdate)
	require.Zero(t, b.ran())
}

func TestSpawnBuildsNothingUnlessToldTo(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, func(c *spawner.Config) { c.Rebuild.On = false })
	got := b.spawn(job("a", "live"))
	require.ErrorIs(t, got.err, messages.WorkerNotInstalled)
	require.Zero(t, b.ran())
}

// A program of nobody knows which source is started as it is; one that is missing stays missing.
func TestSpawnOfWhatHasNoSource(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	require.Nil(t, b.spawn(job("a", "live")).err)
	require.NoError(t, os.RemoveAll(filepath.Join(b.root, "bin")))
	got := b.spawn(job("b", "live"))
	require.Nil(t, got.err)
	require.Equal(t, messages.ActionAutoUpdate, got.events[2].Action)
	require.Equal(t, messages.LevelWarn, got.events[2].Level)
	require.Contains(t, got.events[2].Human, "--dev-source")
	require.NoError(t, os.RemoveAll(filepath.Join(b.root, "target")))
	require.ErrorIs(t, b.spawn(job("c", "live")).err, messages.WorkerNotInstalled)
}

// Each job that waits for one build has its own deadline, and takes no slot meanwhile; a hive that stops waits for none.
func TestSpawnsThatWaitForABuild(t *testing.T) {
	t.Parallel()
	for limit := 500 * time.Millisecond; !spawnsThatWaitForABuild(t, limit); limit *= 2 { // so that the job comes to wait, however slow the machine is
		t.Logf("a job that had %s did not come to wait", limit)
	}
}

// spawnsThatWaitForABuild reports whether the job with a deadline came to wait for the build before that was over.
func spawnsThatWaitForABuild(t *testing.T, limit time.Duration) bool {
	t.Helper()
	b := newBuilder(t, nil)
	b.plays("await never")
	late := job("late", "live")
	late.Deadline = time.Now().Add(limit)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	errs := make(map[string]*messages.Error)
	waited := make(chan string, 10)
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, j := range []messages.Job{late, job("patient", "live")} {
		group.Go(func() {
			_, err := b.Spawn(ctx, j, func(messages.Event) {}, func() func(context.Context) error { waited <- j.JobID; return nil })
			mu.Lock()
			defer mu.Unlock()
			errs[j.JobID] = messages.AsError(err)
			if j.JobID == "late" {
				stop()
			}
		})
	}
	group.Wait()
	close(waited)
	came := make(map[string]bool)
	for id := range waited {
		came[id] = true
	}
	require.ErrorIs(t, errs["late"], messages.DeadlineExceeded)
	if !came["late"] || !came["patient"] {
		return false
	}
	require.ErrorIs(t, errs["patient"], messages.HiveDraining)
	require.True(t, errs["patient"].Retryable)
	require.LessOrEqual(t, b.ran(), 1)
	return true
}

// A dry run tells what a start would: what it would build first is told as that, and not as missing.
func TestDryRunTellsWhatWouldBeBuilt(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, nil)
	bin := filepath.Join(b.root, "target", "debug", cpuWorker)
	plan, err := b.Explain(t.Context(), job("a", "live"))
	require.NoError(t, err)
	require.Equal(t, bin, plan.BinaryPath)
	require.Equal(t, "debug", plan.Source)
	require.Equal(t, "it is built first, because it has not been built", plan.Why)
	require.Zero(t, b.ran())

	require.Nil(t, b.spawn(job("a", "live")).err)
	plan, err = b.Explain(t.Context(), job("b", "live"))
	require.NoError(t, err)
	require.Equal(t, bin, plan.BinaryPath)
	require.Equal(t, "the catalog holds none, and it is up to date", plan.Why)

	pinned := job("c", "live")
	pinned.Version = "1.0.0"
	_, err = b.Explain(t.Context(), pinned)
	require.ErrorIs(t, err, messages.WorkerNotInstalled)
	require.Equal(t, 1, b.ran())
}
